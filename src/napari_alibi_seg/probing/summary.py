"""Summary figures of a model, and a verdict on its positional bias in words."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.probing.records import CONTROL, RAMPS, TABLE_FORM
from napari_alibi_seg.probing.stability import HALOS, Change, StrokeLayout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.core.model.position import FloatArray
    from napari_alibi_seg.probing.records import ModelProbe, Probing, Stability

ENOUGH_IMAGES = 8
"""With fewer images of different kinds, the probe misses even the bias of stock DINOv2."""

STRONG, CLEAR, SLIGHT = 0.5, 0.1, 0.02
_POSITIONAL_CHANNEL = 0.1
_CHANNELS_NAMED = 20
_IN_WORDS = {
    "lr": "how far left or right",
    "ud": "how far up or down",
    "diag": "how far along the diagonal",
    "radial": "how far from the centre",
}
_FLIPS = (Change.FLIP_LR, Change.FLIP_UD)


class Level(StrEnum):
    """Strength of the positional bias found in the features."""

    STRONG = "strong"
    CLEAR = "clear"
    SLIGHT = "slight"
    NONE = "none found"
    OPEN = "not settled"


@dataclass(frozen=True)
class Verdict:
    """A verdict on the positional bias of a model.

    Attributes
    ----------
    level : Level
        Strength of the bias.
    sentence : str
        Explanation for readers who do not know the probes.
    """

    level: Level
    sentence: str


@dataclass(frozen=True)
class ModelSummary:
    """Means over the images; NaN for figures that could not be measured.

    Attributes
    ----------
    authors_r2, authors_r2_std : float
        R^2 of the authors' probe as in their table (lr+ud); mean and standard deviation over
        images and repeats.
    loio_r2 : float
        Leave-one-image-out R^2, lr+ud, not clipped, of the last block.
    segmentation_layer : int
        Block, counted from 1, whose output is used as features for segmentation.
    segmentation_loio_r2 : float
        `loio_r2` of that block.
    null_r2, null_shuffled_r2 : float
        `loio_r2` of tokens shifted circularly at random, and of tokens in random order.
    best_channel_r2 : float
        Highest leave-one-image-out R^2 of a single channel of the last layer, lr or ud.
    tile_cosine, tile_cosine_halo_2, tile_cosine_halo_4 : float
        Mean cosine between the tokens of a tile and those of the whole, with 0, 2 and 4 tokens of
        context around the tile.
    flip_disagreement, shift_disagreement : float
        Share of pixels whose class changes, for strokes anywhere; in [0, 1].
    flip_disagreement_one_sided, shift_disagreement_one_sided : float
        The same for strokes of each class in its own half of the image.
    authors_r2_by_target, loio_r2_by_target, null_r2_by_target : dict of str to float
        R^2 for each ramp and, for the authors' probe, the random control.
    positional_channels : list of int
        Channels of the last layer that alone reach an R^2 of .1, highest first, at most 20.
    """

    authors_r2: float
    authors_r2_std: float
    loio_r2: float
    segmentation_layer: int
    segmentation_loio_r2: float
    null_r2: float
    null_shuffled_r2: float
    best_channel_r2: float
    tile_cosine: float
    tile_cosine_halo_2: float
    tile_cosine_halo_4: float
    flip_disagreement: float
    shift_disagreement: float
    flip_disagreement_one_sided: float
    shift_disagreement_one_sided: float
    authors_r2_by_target: dict[str, float]
    loio_r2_by_target: dict[str, float]
    null_r2_by_target: dict[str, float]
    positional_channels: list[int]


def summarise(probe: ModelProbe) -> ModelSummary:
    """Reduce all measurements of a model to summary figures."""
    tables = probe.authors[..., TABLE_FORM].mean(axis=-1)  # (images, repeats)
    tiles = {halo: _mean([s.tiles.get(halo, math.nan) for s in probe.stability]) for halo in HALOS}
    left_out = probe.left_out
    unknown = np.full((1, len(RAMPS)), math.nan)
    probes = (unknown,) * 3 if left_out is None else _three(probe)
    loio, null, shuffled = (scores.mean(axis=0) for scores in probes)
    table_form = list(TABLE_FORM)
    channels = probe.left_out_fingerprint
    return ModelSummary(
        authors_r2=float(tables.mean()),
        authors_r2_std=float(tables.std()),
        loio_r2=float(loio[table_form].mean()),
        segmentation_layer=probe.model.segmentation_layer,
        segmentation_loio_r2=_known(probe.segmentation_r2),
        null_r2=float(null[table_form].mean()),
        null_shuffled_r2=float(shuffled[table_form].mean()),
        best_channel_r2=_known(None if channels is None else float(channels[-1].max())),
        tile_cosine=tiles[0],
        tile_cosine_halo_2=tiles[2],
        tile_cosine_halo_4=tiles[4],
        flip_disagreement=disagreement(probe.stability, StrokeLayout.SPREAD, _FLIPS),
        shift_disagreement=disagreement(probe.stability, StrokeLayout.SPREAD, (Change.SHIFT,)),
        flip_disagreement_one_sided=disagreement(probe.stability, StrokeLayout.ONE_SIDED, _FLIPS),
        shift_disagreement_one_sided=disagreement(
            probe.stability, StrokeLayout.ONE_SIDED, (Change.SHIFT,)
        ),
        authors_r2_by_target=_named(probe.authors.mean(axis=(0, 1)), (*RAMPS, CONTROL)),
        loio_r2_by_target=_named(loio, RAMPS),
        null_r2_by_target=_named(null, RAMPS),
        positional_channels=_positional(probe),
    )


def disagreement(
    stability: Sequence[Stability], strokes: StrokeLayout, changes: Sequence[Change]
) -> float:
    """Return the mean share of pixels whose class changes, over images, draws and changes."""
    return _mean(
        [
            drawn.disagreement[change]
            for image in stability
            for drawn in image.segmentations.get(strokes, ())
            for change in changes
        ]
    )


def judge(summary: ModelSummary, images: int) -> Verdict:
    """Return a verdict on how well position can be predicted from the features.

    The ramp with the highest R^2 decides, if that exceeds its null.
    """
    if images < 2:
        return Verdict(
            Level.OPEN,
            "One image is not enough to distinguish position from content that happens to change "
            "across it; give more images of the same kind, and meanwhile look at the tile, flip "
            "and shift tests below.",
        )
    worst = max(RAMPS, key=lambda ramp: summary.loio_r2_by_target[ramp])
    r2 = summary.loio_r2_by_target[worst]
    found = r2 > max(SLIGHT, summary.null_r2_by_target[worst])
    if not found and images < ENOUGH_IMAGES:
        return Verdict(
            Level.OPEN,
            f"No positional bias was found, but {images} images are too few to rule it out; "
            f"give {ENOUGH_IMAGES} or more.",
        )
    if not found:
        return Verdict(
            Level.NONE,
            "In an image the probe was not fitted to, it cannot predict from these features where "
            "a patch lies, so no stroke is tied to the place where it was drawn.",
        )
    levels = {STRONG: Level.STRONG, CLEAR: Level.CLEAR, SLIGHT: Level.SLIGHT}
    level = next(levels[limit] for limit in levels if r2 > limit)
    advice = {
        Level.STRONG: "a segmentation can learn the place of your strokes instead of the material",
        Level.CLEAR: "spread the strokes of each class over the whole image",
        Level.SLIGHT: "this hardly affects a segmentation, but is not negligible",
    }[level]
    return Verdict(
        level,
        f"In an image the probe was not fitted to, these features predict {_IN_WORDS[worst]} a "
        f"patch lies: they explain {100 * r2:.0f} % of the variation (R² {r2:.2f}); {advice}.",
    )


def summary_json(probing: Probing) -> str:
    """Return the summary of a run as a JSON object; figures that were not measured are null."""
    models = {
        probe.model.name: {
            "label": probe.model.label,
            **asdict(summary),
            "architecture": probe.model.identity.architecture,
            "geometry": _geometry(probe),
            "weights_sha256": probe.model.identity.weights,
            "verdict": asdict(judge(summary, len(probing.shapes))),
        }
        for probe in probing.models
        for summary in [summarise(probe)]
    }
    run = {
        "images": list(probing.shapes),
        "failed": probing.failed,
        "config": asdict(probing.config),
        "models": models,
    }
    return json.dumps(_without_nan(run), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _three(probe: ModelProbe) -> tuple[FloatArray, ...]:
    assert probe.left_out is not None
    return probe.left_out.r2, probe.left_out.rolled, probe.left_out.shuffled


def _positional(probe: ModelProbe) -> list[int]:
    best = probe.channel_r2.max(axis=1)
    ranked = probe.channel_ranking[:_CHANNELS_NAMED]
    return [int(channel) for channel in ranked if best[channel] >= _POSITIONAL_CHANNEL]


def _geometry(probe: ModelProbe) -> Any:
    geometry = probe.model.identity.geometry
    return None if geometry is None else asdict(geometry)


def _named(scores: FloatArray, names: Sequence[str]) -> dict[str, float]:
    return {name: float(score) for name, score in zip(names, scores, strict=True)}


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
