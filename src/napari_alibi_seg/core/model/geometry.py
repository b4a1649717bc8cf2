"""The geometry of a 2-D ALiBi bias: the distance between patches, and the slope of the penalty.

The logits of head `i` become ``q.k / sqrt(d) - slope_i * distance`` (Press et al.,
arXiv 2108.12409; in two dimensions Pawlowsky et al., arXiv 2603.16840). A checkpoint only
works with the geometry it was trained with, so the geometry is stored with the weights
and is part of the identity of features.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_alibi_seg.core.errors import ModelError

if TYPE_CHECKING:
    import torch


class Distance(StrEnum):
    """Metric between the (row, column) positions of two patches."""

    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"


class Slopes(StrEnum):
    """How the slopes, the factors of the distance, are defined."""

    CONSTANT = "constant"
    PER_HEAD = "per-head"
    LEARNED = "learned"


@dataclass(frozen=True)
class Geometry:
    """The parameters of the attention bias of a patch grid.

    Attributes
    ----------
    distance : Distance
        Metric on the patch grid.
    wrap : bool
        Whether the grid is periodic, so that opposite borders are neighbours.
    normalise : bool
        Whether distances are divided by the largest one of the grid. The bias between two patches
        then depends on the size of the grid.
    slopes : Slopes
        ``constant``: `slope` for every head; ``per-head``: ``slope * 2**(-8 (i+1) / H)`` for head
        ``i`` of ``H``, from 0; ``learned``: one parameter per layer and head, stored with the
        weights and initialised to `slope`.
    slope : float
        Logits per token of distance (per maximum distance if `normalise`). The default, 0.0884, is
        the slope per token of the published models on a 16 x 16 grid.
    """

    distance: Distance = Distance.EUCLIDEAN
    wrap: bool = False
    normalise: bool = False
    slopes: Slopes = Slopes.CONSTANT
    slope: float = 0.0884

    def to_json(self) -> str:
        """Return the geometry as a canonical JSON object."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Geometry:
        """Parse the output of `to_json`.

        Raises
        ------
        ModelError
            If the text is not JSON, or a field is missing, unknown or invalid.
        """
        try:
            fields = json.loads(text)
            fields["distance"] = Distance(fields["distance"])
            fields["slopes"] = Slopes(fields["slopes"])
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"The ALiBi geometry {text!r} cannot be read ({error}); "
                f"expected an object like {cls().to_json()}."
            ) from error


PUBLISHED = Geometry(wrap=True, normalise=True, slope=1.0)
"""Geometry of the `dino-saw` checkpoints (arXiv 2603.16840)."""


def distance_matrix(
    geometry: Geometry,
    grid: tuple[int, int],
    prefix: int,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Return the distances between all tokens of a grid.

    Parameters
    ----------
    geometry : Geometry
        Metric, wrapping and normalisation.
    grid : tuple of int
        Rows and columns of the patch grid.
    prefix : int
        Number of leading CLS and register tokens, which are at distance 0 from all tokens.
    device : torch.device, optional
        Device of the result.

    Returns
    -------
    torch.Tensor
        (N, N) float32, ``N = prefix + rows * columns``, in tokens (or [0, 1] if normalised).
    """
    import torch

    def along(length: int) -> torch.Tensor:
        position = torch.arange(length, dtype=torch.float32, device=device)
        delta = (position[:, None] - position[None, :]).abs()
        return torch.minimum(delta, length - delta) if geometry.wrap else delta

    rows = along(grid[0])[:, None, :, None]
    columns = along(grid[1])[None, :, None, :]
    if geometry.distance is Distance.EUCLIDEAN:
        between = (rows**2 + columns**2).sqrt_()
    else:
        between = rows + columns
    tokens = grid[0] * grid[1]
    between = between.reshape(tokens, tokens)
    if geometry.normalise:
        between = between / between.max().clamp(min=1.0)
    return torch.nn.functional.pad(between, (prefix, 0, prefix, 0))


def fixed_slopes(geometry: Geometry, heads: int) -> torch.Tensor:
    """Return the slopes of a geometry without learned slopes.

    Returns
    -------
    torch.Tensor
        (1, 1, 1) for constant slopes, (heads, 1, 1) for slopes per head; logits per unit distance.
    """
    import torch

    if geometry.slopes is Slopes.PER_HEAD:
        head = torch.arange(1, heads + 1, dtype=torch.float32)
        return (geometry.slope * 2 ** (-8 * head / heads)).reshape(heads, 1, 1)
    return torch.full((1, 1, 1), geometry.slope)
