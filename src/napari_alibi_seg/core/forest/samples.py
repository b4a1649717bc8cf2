"""Labelled pixels and their channels, which a forest is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_alibi_seg.core.errors import ScribbleError
from napari_alibi_seg.core.forest.strokes import class_steps, every_nth, training_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.windows import Window


class Channels(Protocol):
    """Interface to the channels of a plane."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""

    def guide(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width) normalised grey values of a window inside the plane."""

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask of pixels not to segment in a window; see `Plane.missing`."""

    def block(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width, F) channels of a window inside the plane."""

    def subsampled(self, window: Window, step: int) -> NDArray[np.float32]:
        """Return (h, w, F) channels of every `step`-th pixel of a window in rows and columns."""

    def points(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, F) channels of N different pixels in row-major order."""


@dataclass(frozen=True, eq=False)
class PixelSamples:
    """Labelled pixels.

    Attributes
    ----------
    values : ndarray
        (N, F) float32 channels.
    labels : ndarray
        (N,) class values as painted.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]


def thinned(samples: Sequence[PixelSamples], most: int) -> list[PixelSamples]:
    """Subsample the classes that have many pixels.

    Parameters
    ----------
    samples : sequence of PixelSamples
        Samples of each plane.
    most : int
        Approximate maximum of pixels in all, shared evenly among the classes; each plane keeps at
        least one pixel of every class in it.
    """
    steps = class_steps(np.concatenate([each.labels for each in samples]), most)
    chosen = [every_nth(each.labels, steps) for each in samples]
    return [
        PixelSamples(each.values[few], each.labels[few])
        for each, few in zip(samples, chosen, strict=True)
    ]


def gather_samples(channels: Channels, scribbles: NDArray[np.integer[Any]]) -> PixelSamples:
    """Evaluate the channels at the scribbled pixels that train (`training_pixels`).

    Parameters
    ----------
    channels : Channels
        Channels of the plane.
    scribbles : ndarray
        (Y, X) integers, 0 = not painted.

    Raises
    ------
    ScribbleError
        If the shape of the scribbles differs from that of the plane.
    """
    if scribbles.shape != channels.shape:
        raise ScribbleError(
            f"The scribbles have shape {scribbles.shape} but the image plane has {channels.shape}; "
            "paint on a layer of the image's own size."
        )
    rows, columns = training_pixels(scribbles)
    return PixelSamples(channels.points(rows, columns), scribbles[rows, columns])
