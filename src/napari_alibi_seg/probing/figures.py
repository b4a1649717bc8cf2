"""Figures of the report, drawn without pyplot and its global state."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure

from napari_alibi_seg.probing.records import TABLE_FORM
from napari_alibi_seg.probing.stability import HALOS, Change, StrokeLayout
from napari_alibi_seg.probing.summary import disagreement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.position import FloatArray
    from napari_alibi_seg.probing.inputs import Square
    from napari_alibi_seg.probing.records import ModelProbe, Probing
    from napari_alibi_seg.probing.stability import Resegmentation

# Okabe and Ito's palette, which is safe for colour-blind readers.
_BLUE, _ORANGE, _GREEN, _RED, _SKY, _PINK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
)
_GREY = "#8a8a8a"
_MODEL_COLOURS = (_RED, _BLUE, _GREEN, _ORANGE, _PINK, _SKY)
_WIDTH = 9.0
_CLASSES = ListedColormap(["#2f4858", "#f2d492"])
_MAPS_SHOWN = 4
_RANKS_SHOWN = 40
_LABEL_WIDTH = 26


def draw(probing: Probing) -> dict[str, Figure]:
    """Draw all figures for which the run has data; return them by name."""
    models = probing.models
    figures = {
        "position": _position(models),
        "fingerprint": _fingerprint(models),
        "channels": _channels(models),
    }
    if len(probing.shapes) > 1:
        figures["seen_position"] = _seen_position(probing)
    if any(probe.stability for probe in models):
        figures["tiles"] = _tiles(models)
    if any(image.segmentations for probe in models for image in probe.stability):
        figures["segmentation"] = _segmentation(models)
    examples = [_shown(probe) for probe in models]
    found = [example for example in examples if example is not None]
    if len(found) == len(models):
        figures["segmentation_example"] = _example(probing, found)
    return figures


def _position(models: Sequence[ModelProbe]) -> Figure:
    figure, axes = _one_panel(1.2 + 0.95 * len(models))
    kinds = (
        ("unseen image (leave one image out)", _BLUE, "r2"),
        ("the same, position destroyed (null)", _GREY, "rolled"),
    )
    for row, probe in enumerate(models):
        for offset, (name, colour, scores) in enumerate(kinds):
            if probe.left_out is not None:
                values = getattr(probe.left_out, scores)[:, TABLE_FORM].mean(axis=1)
                _bar(axes, row - 0.27 + 0.27 * offset, values, colour, name if row == 0 else None)
        authors = probe.authors[..., TABLE_FORM].mean(axis=(1, 2))
        name = "same image (the authors' probe)"
        beside = 0.0 if probe.left_out is None else 0.27
        _bar(axes, row + beside, authors, _ORANGE, name if row == 0 else None)
    _name_rows(axes, models)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("position told by the features, R²  (0: nothing or worse, 1: exactly)")
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
    return figure


def _bar(
    axes: Axes, row: float, values: NDArray[np.floating], colour: str, name: str | None
) -> None:
    axes.barh(row, max(0.0, values.mean()), 0.22, color=colour, alpha=0.85, label=name)
    axes.plot(
        np.maximum(values, 0.0),
        np.full(len(values), row),
        "o",
        ms=3,
        mfc="none",
        mec="black",
        mew=0.5,
        alpha=0.6,
        clip_on=False,
    )


def _seen_position(probing: Probing) -> Figure:
    models = probing.models
    grid = probing.config.grid
    truth = np.broadcast_to(np.linspace(0, 1, grid), (grid, grid))
    panels: list[tuple[str, FloatArray]] = [("true position", truth)]
    panels += [
        # Shifted to the same mean, as only the variation over the image matters.
        (_label(p), p.left_out.seen - p.left_out.seen.mean() + 0.5)
        for p in models
        if p.left_out is not None
    ]
    figure, axes = _row_of_maps(1 + len(panels))
    axes[0].imshow(probing.first.pixels.mean(axis=2), cmap="gray", vmin=0, vmax=1)
    _title(axes[0], "first image", len(axes))
    for panel, (title, seen) in zip(axes[1:], panels, strict=True):
        shown = panel.imshow(seen, cmap="viridis", vmin=0, vmax=1)
        _title(panel, title, len(axes))
    bar = figure.colorbar(shown, ax=list(axes), shrink=0.6, aspect=15, ticks=[0, 1])
    bar.ax.set_yticklabels(["left", "right"])
    return figure


def _fingerprint(models: Sequence[ModelProbe]) -> Figure:
    figure = Figure((_WIDTH, 0.8 + 1.75 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), 1, squeeze=False)[:, 0]
    for panel, probe in zip(panels, models, strict=True):
        layers, channels, _ = probe.fingerprint.shape
        shown = panel.imshow(
            np.clip(probe.fingerprint[..., 0], 0, 1),
            cmap="magma",
            norm=PowerNorm(0.5, 0, 1),  # makes faint channels visible
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, channels - 0.5, layers + 0.5, 0.5),
        )
        panel.set_title(_label(probe).replace("\n", " "), fontsize=9, loc="left")
        panel.set_ylabel("layer")
        panel.set_yticks(sorted({1, (layers + 1) // 2, layers}))
    panels[-1].set_xlabel("channel")
    figure.colorbar(shown, ax=list(panels), label="R², left-right", aspect=12 * len(models))
    return figure


def _channels(models: Sequence[ModelProbe]) -> Figure:
    figure = Figure((_WIDTH, 0.3 + 2.0 * len(models)), layout="constrained")
    widths = [2.2] + [1] * _MAPS_SHOWN
    panels = figure.subplots(len(models), 1 + _MAPS_SHOWN, squeeze=False, width_ratios=widths)
    for row, probe in zip(panels, models, strict=True):
        best = np.maximum(probe.channel_r2.max(axis=1), 0.0)
        ranking = probe.channel_ranking
        count = min(_RANKS_SHOWN, len(ranking))
        row[0].bar(np.arange(1, count + 1), best[ranking[:count]], width=0.8, color=_BLUE)
        row[0].set_ylim(0, 1)
        row[0].set_ylabel("R² alone")
        row[0].set_title(_label(probe).replace("\n", " "), fontsize=9, loc="left")
        row[0].spines[["top", "right"]].set_visible(False)
        for panel, channel in zip(row[1:], ranking, strict=False):
            low, high = np.percentile(probe.first[..., channel], (1, 99))
            panel.imshow(probe.first[..., channel].astype(np.float32), vmin=low, vmax=high)
            panel.set_title(f"channel {channel}\nR² {best[channel]:.2f}", fontsize=8)
            panel.set_axis_off()
    panels[-1, 0].set_xlabel("channels of the last layer, most positional first")
    return figure


def _tiles(models: Sequence[ModelProbe]) -> Figure:
    figure, axes = _one_panel(3.2)
    for colour, probe in zip(_colours(models), models, strict=True):
        halos = [halo for halo in HALOS if all(halo in s.tiles for s in probe.stability)]
        cosines = np.array([[s.tiles[halo] for halo in halos] for s in probe.stability])
        axes.plot(halos, cosines.mean(axis=0), "o-", color=colour, label=_label(probe))
        axes.plot(halos, cosines.T, ".", color=colour, alpha=0.35, ms=5)
    axes.axhline(1, color="black", lw=0.8, ls=":")
    axes.set_xticks(HALOS, [f"{halo} patches" for halo in HALOS])
    axes.set_xlabel("context computed around the tile and cut off again")
    axes.set_ylabel("likeness of tile and whole\n(mean cosine)")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
    return figure


def _segmentation(models: Sequence[ModelProbe]) -> Figure:
    figure = Figure((_WIDTH, 1.3 + 0.62 * len(models)), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    titles = {
        StrokeLayout.SPREAD: "strokes spread over the image",
        StrokeLayout.ONE_SIDED: "dark painted left only, bright right only",
    }
    changes = {
        "flipped": ((Change.FLIP_LR, Change.FLIP_UD), _BLUE),
        "shifted by half a patch": ((Change.SHIFT,), _ORANGE),
    }
    for panel, (strokes, title) in zip(panels, titles.items(), strict=True):
        for offset, (name, (which, colour)) in enumerate(changes.items()):
            shares = [100 * disagreement(probe.stability, strokes, which) for probe in models]
            rows = np.arange(len(models)) - 0.18 + 0.36 * offset
            bars = panel.barh(rows, shares, 0.32, color=colour, label=name)
            panel.bar_label(bars, fmt=" %.1f %%", fontsize=8)
        panel.set_title(title, fontsize=9.5, loc="left")
        panel.set_xlabel("pixels that change class, %")
        panel.margins(x=0.15)
        panel.spines[["top", "right"]].set_visible(False)
    _name_rows(panels[0], models)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=2, frameon=False, fontsize=8.5)
    return figure


def _example(probing: Probing, results: Sequence[Resegmentation]) -> Figure:
    figure, axes = _row_of_maps(1 + len(results), rows=2)
    _paint(axes, probing.first, results[0])
    columns = zip(axes[:, 1:].T, probing.models, results, strict=True)
    for (above, below), probe, result in columns:
        above.imshow(result.original, cmap=_CLASSES, interpolation="nearest")
        _title(above, _label(probe), axes.shape[1])
        flipped = result.changed[Change.FLIP_LR]
        below.imshow(flipped, cmap=_CLASSES, interpolation="nearest")
        changed = np.ma.masked_equal(flipped != result.original, False)
        below.imshow(changed, cmap=ListedColormap([_RED]), interpolation="nearest")
        share = result.disagreement[Change.FLIP_LR]
        _title(below, f"flipped: {100 * share:.1f} % change", axes.shape[1])
    return figure


def _paint(axes: NDArray[np.object_], first: Square, result: Resegmentation) -> None:
    """Show the first image and, below it, the strokes painted on it."""
    grey = first.view(512)[0].mean(dim=0).numpy()
    whole = (0, 1, 1, 0)
    for panel, title in zip(axes[:, 0], ("first image", "painted"), strict=True):
        panel.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=whole)
        _title(panel, title, axes.shape[1])
    strokes = np.ma.masked_equal(result.painted, 0)
    colours = ListedColormap([_SKY, _ORANGE])
    axes[1, 0].imshow(strokes, cmap=colours, interpolation="nearest", extent=whole)


def _shown(probe: ModelProbe) -> Resegmentation | None:
    """Return the example to show: of one-sided strokes, if the first image allows them."""
    found = probe.stability[0].segmentations if probe.stability else {}
    harder_first = (StrokeLayout.ONE_SIDED, StrokeLayout.SPREAD)
    return next((found[strokes][0] for strokes in harder_first if strokes in found), None)


def _one_panel(height: float) -> tuple[Figure, Axes]:
    figure = Figure((_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _row_of_maps(columns: int, rows: int = 1) -> tuple[Figure, NDArray[np.object_]]:
    side = min(2.4, _WIDTH / columns)
    figure = Figure((side * columns, (side + 0.2) * rows), layout="constrained")
    axes = np.asarray(figure.subplots(rows, columns))
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    return figure, axes


def _title(panel: Axes, text: str, columns: int) -> None:
    """Set a title with a font size that fits the width of the map below it."""
    side = _WIDTH / columns
    panel.set_title(text, fontsize=min(9.0, 5 * side))


def _name_rows(axes: Axes, models: Sequence[ModelProbe]) -> None:
    axes.set_yticks(range(len(models)), [_label(probe) for probe in models])
    axes.set_ylim(len(models) - 0.5, -0.5)  # the first model on top


def _colours(models: Sequence[ModelProbe]) -> list[str]:
    return [_MODEL_COLOURS[number % len(_MODEL_COLOURS)] for number in range(len(models))]


def _label(probe: ModelProbe) -> str:
    return "\n".join(textwrap.wrap(probe.model.label, _LABEL_WIDTH, break_on_hyphens=False))
