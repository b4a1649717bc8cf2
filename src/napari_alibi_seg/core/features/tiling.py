"""Cutting a patch grid into tiles of one size that do not depend on what is looked at.

Importing this imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE, HALO = 28, 2
"""Side of a tile, and half of what neighbours share, in tokens."""
PATCH = 14
"""Pixels of a magnified image along the side of a token of the default model."""
TILE_S = {"cpu": 0.5, "cuda": 0.05, "mps": 0.1}
"""Seconds a tile of features takes by device, to tell before any was measured; very roughly."""


def usual_tiles(pixels: int, scale: int) -> int:
    """Return about how many tiles cover pixels, each once, that are magnified `scale` times."""
    return math.ceil(pixels * (scale / (PATCH * (TILE - 2 * HALO))) ** 2)


@dataclass(frozen=True)
class Span:
    """A tile along one axis.

    Attributes
    ----------
    start, stop : int
        Its tokens that lie on the grid.
    shares : tuple of float
        How much of each of them is used, in [0, 1]; those of all spans that hold a token have
        sum 1.
    """

    start: int
    stop: int
    shares: tuple[float, ...]

    @property
    def slice(self) -> slice:
        """Where it lies."""
        return slice(self.start, self.stop)

    @property
    def middle(self) -> float:
        """Its middle, in tokens."""
        return (self.start + self.stop) / 2


@dataclass(frozen=True)
class Tile:
    """A tile of a patch grid, in tokens."""

    rows: Span
    columns: Span


def spans(length: int, tile: int, halo: int) -> list[Span]:
    """Cover an axis of a patch grid with overlapping tiles that fade into each other.

    Tiles start at multiples of ``tile - 2 * halo`` from the image's origin; the last one is moved
    back to end with the grid. Where two overlap, the one fades out and the other in over
    ``2 * halo`` tokens in the middle, so that nothing jumps where a tile ends.

    Parameters
    ----------
    length : int
        Tokens along the axis; if fewer than `tile`, the one tile reaches beyond the grid.
    tile, halo : int
        Tokens of a tile, and half of those it shares with the next.
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
    """Add the share of a tile's (h, w, C) tokens to a (rows, columns, C) grid, zeros at first.

    Sums are rounded, so only the same order of tiles gives the same grid to the last bit.
    """
    rows, columns = (np.array(span.shares, np.float32) for span in (tile.rows, tile.columns))
    grid[tile.rows.slice, tile.columns.slice] += np.outer(rows, columns)[..., None] * tokens
