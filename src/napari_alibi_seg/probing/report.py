"""The report: a self-contained HTML page for materials scientists."""

from __future__ import annotations

import base64
import math
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template
from typing import TYPE_CHECKING

from napari_alibi_seg.probing.inputs import LARGEST_SQUARE
from napari_alibi_seg.probing.records import CONTROL, RAMPS
from napari_alibi_seg.probing.summary import ENOUGH_IMAGES, Level, judge, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from napari_alibi_seg.probing.records import ModelProbe, Probing
    from napari_alibi_seg.probing.summary import ModelSummary

_DPI = 150
_RAMP_NAMES = {
    "lr": "left to right",
    "ud": "top to bottom",
    "diag": "along the diagonal",
    "radial": "from the centre",
    CONTROL: "random numbers (control)",
}
_COLOURS = {
    Level.STRONG: "bad",
    Level.CLEAR: "bad",
    Level.SLIGHT: "fair",
    Level.NONE: "good",
    Level.OPEN: "open",
}

_CAPTIONS: Mapping[str, tuple[str, str]] = {
    "position": (
        "Can position be read from the features?",
        "Blue is the figure to trust: a linear fit learns, on all images but one, to predict the "
        "position of a patch from its features, and is then tested on the image left out. 1 means "
        "exact predictions, 0 means that position cannot be predicted. Grey is the same after the "
        "patches of every image were shifted by a random amount, so that there is nothing to "
        "find; only blue bars well above grey ones indicate positional bias. Orange is the probe "
        "of the original paper, fitted and tested on the same image; it also counts smooth "
        "changes of the material as position and is shown for comparison with the literature. "
        "Circles are single images; negative values are drawn at 0 but not clipped in the tables.",
    ),
    "seen_position": (
        "Position of each patch, predicted from its features",
        "The left-to-right position of every patch of the first image, as predicted from its "
        "features by the fit to the other images. If the map of a model runs smoothly from dark "
        "to bright like the true one, its features carry position. Speckle, or the structure of "
        "the material itself, means that they do not. All maps are shifted to the same mean.",
    ),
    "fingerprint": (
        "Which channels and layers carry position",
        "Each pixel is one channel of one layer; the brighter it is, the better this channel alone "
        "predicts the left-right position within an image (the authors' probe). Bright vertical "
        "lines are channels that carry position through the whole network; a dark picture has "
        "none. A few faint channels appear by chance or because of gradients in the image.",
    ),
    "channels": (
        "The most positional channels",
        "Left: how well single channels of the last layer predict position, the best first. "
        "Right: the best of these channels in the first image. A clean gradient from border to "
        "border is position; a picture of the microstructure is content.",
    ),
    "tiles": (
        "Does a piece of the image look the same as the whole?",
        "Large images are processed in tiles. Here the centre of an image was processed once as "
        "part of the whole and once as a tile of its own; 1 means that each patch gets the same "
        "features both times. Context is a margin around the tile that is computed and then "
        "discarded. Values below 1 can show up as seams between tiles. Small dots are single "
        "images.",
    ),
    "segmentation": (
        "Does a segmentation change when the image is flipped or shifted?",
        "A small forest of randomised trees was trained on a few automatic dabs of paint (dark "
        "against bright pixels), on deep features only, and then applied to the same image "
        "flipped, and shifted by half a patch. The material does not change, so no pixel should "
        "change its class. Some always do, at phase boundaries; what matters is the difference "
        "between models. In the plot on the right, each class was painted only in its own half of "
        "the image, as people tend to do: a model with positional bias can then confuse place and "
        "class. Flips reveal this. A small shift hardly affects a model that relies on place, so "
        "look at the flips first.",
    ),
    "segmentation_example": (
        "An example of the flip test",
        "Top: the first image and its segmentation by each model, trained on the dabs of paint at "
        "the bottom left (blue: dark, orange: bright). Bottom: the segmentation of the flipped "
        "image, flipped back; pixels whose class changed are red. Straight edges are seams between "
        "tiles.",
    ),
}
_OF_ONE_IMAGE: Mapping[str, tuple[str, str]] = {
    "position": (
        _CAPTIONS["position"][0],
        "How well a linear fit predicts position from the features of the same image that it was "
        "fitted to, as in the original paper; 1 means exactly, 0 means not at all. It also counts "
        "smooth changes of the material as position, so it proves no positional bias; the figure "
        "to trust needs a second image.",
    ),
}


def write_report(probing: Probing, figures: Mapping[str, Figure], folder: Path) -> None:
    """Write ``report.html`` into a folder; it needs no other files and no network access."""
    template = Template(
        (files("napari_alibi_seg.probing") / "report.html").read_text(encoding="utf-8")
    )
    captions = _CAPTIONS if len(probing.shapes) > 1 else {**_CAPTIONS, **_OF_ONE_IMAGE}
    page = template.substitute(
        images=_count(len(probing.shapes), "image"),
        models=_count(len(probing.models), "model"),
        verdicts="\n".join(_verdict(model, len(probing.shapes)) for model in probing.models),
        caution=_caution(len(probing.shapes)),
        table=_overview(probing.models),
        ramps=_ramp_table(probing.models),
        figures="\n".join(
            _figure(figures[name], *words) for name, words in captions.items() if name in figures
        ),
        method=_method(probing),
        failed=_failures(probing.failed),
        image_list=_image_list(probing.shapes),
    )
    (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")


def _verdict(model: ModelProbe, images: int) -> str:
    verdict = judge(summarise(model), images)
    return (
        f'<div class="verdict {_COLOURS[verdict.level]}"><h3>{escape(model.model.label)}</h3>'
        f"<p><strong>Positional bias: {verdict.level}.</strong> "
        f"{escape(verdict.sentence)}</p></div>"
    )


def _caution(images: int) -> str:
    if images >= ENOUGH_IMAGES:
        return ""
    if images == 1:
        return (
            '<p class="caution"><strong>There is one image only.</strong> So it cannot be tested '
            "whether features predict position in an image that was not used for the fit; within "
            "one image, a gradient of grey value, of focus or of the material looks just like "
            "position. Figures that need a second image are not measured.</p>"
        )
    return (
        f'<p class="caution"><strong>There are only {images} images.</strong> A bias that is found '
        "is real, but there may be one that is not found: with fewer than "
        f"{ENOUGH_IMAGES} images of different kinds, the probe misses even strong bias.</p>"
    )


def _overview(models: Sequence[ModelProbe]) -> str:
    rows: dict[str, Callable[[ModelSummary], str]] = {
        "Position predicted in unseen images, R² (0 is best)": lambda s: _clipped(s.loio_r2),
        "… from the features used for segmentation": lambda s: _clipped(s.segmentation_loio_r2),
        "… with position destroyed (null)": lambda s: _clipped(s.null_r2),
        "… from the best single channel": lambda s: _clipped(s.best_channel_r2),
        "Authors' probe, same image, R²": lambda s: _number(s.authors_r2),
        "Tile against whole, no context (1 is best)": lambda s: _number(s.tile_cosine, 4),
        "… 2 patches of context": lambda s: _number(s.tile_cosine_halo_2, 4),
        "… 4 patches of context": lambda s: _number(s.tile_cosine_halo_4, 4),
        "Pixels that change class, flipped, strokes anywhere": lambda s: _share(
            s.flip_disagreement
        ),
        "… flipped, strokes one-sided": lambda s: _share(s.flip_disagreement_one_sided),
        "… shifted, strokes anywhere": lambda s: _share(s.shift_disagreement),
        "… shifted, strokes one-sided": lambda s: _share(s.shift_disagreement_one_sided),
        "Channels that alone predict position": _channel_names,
    }
    summaries = [summarise(model) for model in models]
    return _table(models, {name: [show(s) for s in summaries] for name, show in rows.items()})


def _ramp_table(models: Sequence[ModelProbe]) -> str:
    summaries = [summarise(model) for model in models]
    probes = {
        "Unseen image": (RAMPS, [s.loio_r2_by_target for s in summaries]),
        "Null": (RAMPS, [s.null_r2_by_target for s in summaries]),
        "Authors' probe": ((*RAMPS, CONTROL), [s.authors_r2_by_target for s in summaries]),
    }
    rows = {
        f"{name}, {_RAMP_NAMES[ramp]}": [_number(scores[ramp]) for scores in by_model]
        for name, (targets, by_model) in probes.items()
        for ramp in targets
    }
    return _table(models, rows)


def _table(models: Sequence[ModelProbe], rows: Mapping[str, Sequence[str]]) -> str:
    header = "".join(f'<th scope="col">{_breakable(model.model.label)}</th>' for model in models)
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{"</td><td>".join(cells)}</td></tr>'
        for name, cells in rows.items()
    )
    return f"<table><thead><tr><td></td>{header}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _breakable(label: str) -> str:
    return escape(label).replace("_", "_<wbr>")


def _figure(figure: Figure, title: str, caption: str) -> str:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"<section><h2>{escape(title)}</h2><figure>"
        f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure></section>"
    )


def _method(probing: Probing) -> str:
    config = probing.config
    models = "".join(
        f"<li><strong>{escape(model.model.label)}</strong>: {escape(model.model.name)}; "
        f"{escape(model.model.identity.architecture)}, "
        f"{'ALiBi' if model.model.identity.geometry else 'its own positions'}, segmentation uses "
        f"block {model.model.segmentation_layer} of {model.model.backbone.depth}, "
        f"weights {model.model.identity.weights[:12]}</li>"
        for model in probing.models
    )
    tested = len(probing.models[0].stability)
    return (
        "<p>From each file, the middle plane was taken and cropped to its largest central square, "
        f"at most {LARGEST_SQUARE} px wide. The square was resized to "
        f"{_by(config.grid, config.grid)} patches for the probes and to "
        f"{_by(config.tile_grid, config.tile_grid)} for the tile test (tile: "
        f"{_by(config.tile_grid // 2, config.tile_grid // 2)}). The tile, flip and shift tests "
        f"were run on {_count(tested, 'image')}. Random seed: {config.seed}.</p>"
        f"<ul>{models}</ul>"
    )


def _failures(failed: Mapping[str, str]) -> str:
    if not failed:
        return ""
    items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in failed.items())
    return f"<h3>Left out</h3><ul>{items}</ul>"


def _image_list(shapes: Mapping[str, tuple[int, int]]) -> str:
    return "; ".join(
        f"{escape(name)} ({rows} &times; {cols})" for name, (rows, cols) in shapes.items()
    )


def _channel_names(summary: ModelSummary) -> str:
    names = summary.positional_channels
    shown = ", ".join(map(str, names[:8]))
    return f"{shown}, …" if len(names) > 8 else shown or "none"


def _clipped(value: float) -> str:
    return _number(max(0.0, value) if math.isfinite(value) else value)


def _number(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "&minus;") if math.isfinite(value) else "not measured"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if math.isfinite(value) else "not measured"


def _by(rows: int, columns: int) -> str:
    return f"{rows} &times; {columns}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
