"""Write the results of a run as CSV, one tidy table per file."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_alibi_seg.probing.records import CONTROL, RAMPS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_alibi_seg.probing.records import ModelProbe, Probing

    Row = tuple[str | int | float, ...]


def write_tables(probing: Probing, folder: Path) -> None:
    """Write all tables into an existing folder."""
    tables = {
        "authors_probe.csv": (("model", "image", "target", "repeat", "r2"), _authors),
        "leave_one_image_out.csv": (("model", "image", "target", "features", "r2"), _left_out),
        "fingerprint.csv": (
            ("model", "layer", "channel", "target", "authors_r2", "leave_one_image_out_r2"),
            _fingerprint,
        ),
        "channels.csv": (("model", "rank", "channel", "r2_lr", "r2_ud"), _channels),
        "tiles.csv": (("model", "image", "halo_tokens", "cosine"), _tiles),
        "segmentation.csv": (
            ("model", "image", "strokes", "draw", "change", "share_changed"),
            _changes,
        ),
    }
    for name, (header, rows) in tables.items():
        with (folder / name).open("w", newline="", encoding="utf-8", errors="replace") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for probe in probing.models:
                for row in rows(probe, list(probing.shapes)):
                    writer.writerow([probe.model.name, *map(_text, row)])


def _authors(probe: ModelProbe, images: list[str]) -> Iterator[Row]:
    for image, repeats in zip(images, probe.authors, strict=True):
        for repeat, scores in enumerate(repeats):
            for target, r2 in zip((*RAMPS, CONTROL), scores, strict=True):
                yield image, target, repeat, float(r2)


def _left_out(probe: ModelProbe, images: list[str]) -> Iterator[Row]:
    if probe.left_out is None:
        return
    kinds = {
        "as they are": probe.left_out.r2,
        "shifted": probe.left_out.rolled,
        "shuffled": probe.left_out.shuffled,
    }
    for features, scores in kinds.items():
        for image, of_image in zip(images, scores, strict=True):
            for target, r2 in zip(RAMPS, of_image, strict=True):
                yield image, target, features, float(r2)


def _fingerprint(probe: ModelProbe, images: list[str]) -> Iterator[Row]:
    left_out = probe.left_out_fingerprint
    layers, channels, _ = probe.fingerprint.shape
    for layer in range(layers):
        for channel in range(channels):
            for output, target in enumerate(("lr", "ud")):
                place = layer, channel, output
                other = "" if left_out is None else float(left_out[place])
                yield layer + 1, channel, target, float(probe.fingerprint[place]), other


def _channels(probe: ModelProbe, images: list[str]) -> Iterator[Row]:
    for rank, channel in enumerate(probe.channel_ranking, start=1):
        right, down = probe.channel_r2[channel]
        yield rank, int(channel), float(right), float(down)


def _tiles(probe: ModelProbe, images: list[str]) -> Iterator[Row]:
    for stability in probe.stability:
        for halo, cosine in stability.tiles.items():
            yield stability.image, halo, cosine


def _changes(probe: ModelProbe, images: list[str]) -> Iterator[Row]:
    for stability in probe.stability:
        for strokes, draws in stability.segmentations.items():
            for draw, resegmentation in enumerate(draws):
                for change, share in resegmentation.disagreement.items():
                    yield stability.image, strokes, draw, change, share


def _text(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
