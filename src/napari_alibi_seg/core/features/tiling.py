"""Cut a patch grid into overlapping tiles of equal size. Does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE, HALO = 28, 2
"""Side of a tile, and half the overlap of neighbouring tiles, in tokens."""
PATCH = 14
"""Side of a token of the default model, in pixels of the magnified image."""
TILE_S = {"cpu": 0.5, "cuda": 0.05, "mps": 0.1}
"""Rough seconds per tile by device, for estimates before any tile is measured."""


def usual_tiles(pixels: int, scale: int) -> int:
    """Estimate the number of tiles for a number of pixels magnified `scale` times."""
    return math.ceil(pixels * (scale / (PATCH * (TILE - 2 * HALO))) ** 2)


@dataclass(frozen=True)
class Span:
    """A tile along one axis.

    Attributes
    ----------
    start, stop : int
        Range of its tokens on the grid.
    shares : tuple of float
        Blending weight of each of these tokens, in [0, 1]; the weights of all spans that contain a
        token add up to 1.
    """

    start: int
    stop: int
    shares: tuple[float, ...]

    @property
    def slice(self) -> slice:
        """The slice from `start` to `stop`."""
        return slice(self.start, self.stop)

    @property
    def middle(self) -> float:
        """Midpoint, in tokens."""
        return (self.start + self.stop) / 2


@dataclass(frozen=True)
class Tile:
    """A tile of a patch grid, in tokens."""

    rows: Span
    columns: Span


def spans(length: int, tile: int, halo: int) -> list[Span]:
    """Cover an axis of a patch grid with overlapping tiles that are blended linearly.

    Tiles start at multiples of ``tile - 2 * halo`` from the image's origin; the last one is moved
    back to end with the grid. Two tiles are blended over ``2 * halo`` tokens in the middle of their
    overlap, so that there are no jumps at tile borders.

    Parameters
    ----------
    length : int
        Tokens along the axis; if fewer than `tile`, the only tile extends beyond the grid.
    tile, halo : int
        Tile size and half the overlap of neighbouring tiles, in tokens.
    """
    starts = [*range(0, max(length - tile, 0), tile - 2 * halo), max(length - tile, 0)]
    cuts = [(a + tile + b) // 2 for a, b in pairwise(starts)]
    tokens = np.arange(length) + 0.5
    rises = [np.clip((tokens - cut) / max(2 * halo, 1) + 0.5, 0, 1) for cut in cuts]
    rises = [np.ones(length), *rises, np.zeros(length)]
    found = []
    for start, (rise, fall) in zip(starts, pairwise(rises), strict=True):
        stop = min(start + tile, length)
        found.append(Span(start, stop, tuple((rise - fall)[start:stop].tolist())))
    return found


def tiles(grid: tuple[int, int], tile: int, halo: int) -> list[Tile]:
    """Return the tiles of a (rows, columns) patch grid, row by row (see `spans`)."""
    return [
        Tile(rows, columns)
        for rows, columns in product(spans(grid[0], tile, halo), spans(grid[1], tile, halo))
    ]


def add_tile(grid: NDArray[np.float16], tile: Tile, tokens: NDArray[np.float16]) -> None:
    """Add a tile's weighted (h, w, C) tokens to a (rows, columns, C) grid initialised to zeros.

    Sums are rounded, so the grid is reproducible bit for bit only with the same order of tiles.
    """
    rows, columns = (np.array(span.shares, np.float32) for span in (tile.rows, tile.columns))
    grid[tile.rows.slice, tile.columns.slice] += np.outer(rows, columns)[..., None] * tokens
