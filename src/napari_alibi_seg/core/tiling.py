"""Cutting a patch grid into tiles of one size that do not depend on what is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product


@dataclass(frozen=True)
class Span:
    """A tile along one axis: it starts at `start`, and its tokens [keep, stop) are used."""

    start: int
    keep: int
    stop: int


@dataclass(frozen=True)
class Tile:
    """A tile of a patch grid, in tokens."""

    rows: Span
    columns: Span


def spans(length: int, tile: int, halo: int) -> list[Span]:
    """Cover an axis of a patch grid with overlapping tiles.

    Tiles start at multiples of ``tile - 2 * halo`` from the image's origin; the last one is moved
    back to end with the grid. Where two overlap, each gives the half that is nearer to it, so
    inside the image every token kept has at least `halo` tokens of context around it.

    Parameters
    ----------
    length : int
        Tokens along the axis; if fewer than `tile`, the one tile reaches beyond the grid.
    tile, halo : int
        Tokens of a tile, and of the context cut from each side.
    """
    starts = [*range(0, max(length - tile, 0), tile - 2 * halo), max(length - tile, 0)]
    cuts = [0, *((a + tile + b) // 2 for a, b in pairwise(starts)), length]
    return [Span(start, *cut) for start, cut in zip(starts, pairwise(cuts), strict=True)]


def tiles(grid: tuple[int, int], tile: int, halo: int) -> list[Tile]:
    """Return the tiles of a (rows, columns) patch grid, row by row (see `spans`)."""
    return [
        Tile(rows, columns)
        for rows, columns in product(spans(grid[0], tile, halo), spans(grid[1], tile, halo))
    ]
