"""Every setting between scribbles and a segmentation, and the forest that they make."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from napari_alibi_seg.core.channels import ChannelConfig
from napari_alibi_seg.core.choices import (
    DEFAULT_MODEL,
    LARGEST_FOREST,
    LARGEST_SEED,
    SCALES,
    SMOOTHING,
    SMOOTHING_RADII,
    Forest,
)
from napari_alibi_seg.core.classical import channel_count, light_response
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.forest import fit_forest
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.variation import BETWEEN_IMAGES, WITHIN_IMAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.core.channels import Projection
    from napari_alibi_seg.core.classifier import PixelSamples
    from napari_alibi_seg.core.forest import PixelForest

# Shares of the trees that see classical channels alone, by whether they are to do on the painted
# image or on others: docs/quality.md.
_CLASSICAL_WITHIN_IMAGE, _CLASSICAL_BETWEEN_IMAGES = 1 / 2, 1 / 3


@dataclass(frozen=True)
class SegmentationConfig:
    """Everything that decides what scribbles turn into.

    Attributes
    ----------
    model : str
        Name or path of a backbone (`load_backbone`), or ``classical`` for none.
    scale : int or None
        Magnification of the image before the backbone, 1 to 4; None chooses by the size of the
        first plane painted (`automatic_scale`).
    channels : ChannelConfig
        Which channels a pixel has.
    trees : int
        Trees of the forest.
    seed : int
        Seed of the forest, at most 2**32 - 1; equal inputs and seed give equal bytes.
    forest : Forest
        How the trees are grown.
    smoothing : int
        Radius, in pixels, of the filter that smooths the votes but not across edges of the image
        (`core.smoothing`); 0 for none.
    """

    model: str = DEFAULT_MODEL
    scale: int | None = None
    channels: ChannelConfig = field(default_factory=ChannelConfig)
    trees: int = 100
    seed: int = 0
    forest: Forest = Forest.EXTRA_TREES
    smoothing: int = SMOOTHING

    def __post_init__(self) -> None:
        """Refuse what nothing can be trained with, before it is noticed after long work."""
        _require("scale", self.scale, range(SCALES[0], SCALES[-1] + 1), None)
        _require("trees", self.trees, range(1, LARGEST_FOREST + 1))
        _require("seed", self.seed, range(LARGEST_SEED + 1))
        _require("smoothing", self.smoothing, SMOOTHING_RADII)
        if self.forest not in list(Forest):
            raise AlibiSegError(
                f"There is no forest {self.forest!r}; choose one of {', '.join(Forest)}."
            )
        object.__setattr__(self, "forest", Forest(self.forest))  # a plain name serves, too

    def fit_forest(
        self,
        samples: Sequence[PixelSamples],
        projection: Projection | None,
        progress: Progress = silent,
        several: bool = False,
    ) -> PixelForest:
        """Fit the forest on samples of `channels`, deep ones by a projection; see `fit_forest`.

        Extremely randomised trees see the samples as they may vary; the random forest sees
        them as they are. What strokes on `several` images teach is meant for others, too: they
        vary more, and more trees see deep channels.
        """
        filters, vary = self.channels.filters, None
        classical = bool(self.channels.sigmas)
        deep = 0 if projection is None else len(projection.components)
        if classical and self.forest is Forest.EXTRA_TREES:
            colours = (samples[0].values.shape[1] - deep) // channel_count(1, *filters)
            response = light_response(colours, *filters).after(deep)
            vary = partial(BETWEEN_IMAGES if several else WITHIN_IMAGE, response)
        return fit_forest(
            samples,
            self.trees,
            self.seed,
            progress,
            kind=self.forest,
            deep=deep if classical else 0,
            vary=vary,
            classical_trees=_CLASSICAL_BETWEEN_IMAGES if several else _CLASSICAL_WITHIN_IMAGE,
        )


def _require(name: str, value: int | None, allowed: range, *others: None) -> None:
    if value not in others and value not in allowed:
        also = f", or {others[0]}" if others else ""
        raise AlibiSegError(
            f"The {name} {value!r} cannot be used; give a whole number from {allowed[0]} to "
            f"{allowed[-1]}{also}."
        )
