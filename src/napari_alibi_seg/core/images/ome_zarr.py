"""OME-Zarr metadata, versions 0.1 to 0.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class Placement:
    """Coordinates along an axis: index `i` is at ``scale * i + translation``.

    Attributes
    ----------
    scale, translation : float
        In `unit`.
    unit : str or None
        Unit name in OME-Zarr, such as ``micrometer``.
    """

    scale: float = 1.0
    translation: float = 0.0
    unit: str | None = None


def multiscales(group: zarr.Group) -> dict[str, Any] | None:
    """Return the first ``multiscales`` entry of a group (up to version 0.5); None if absent."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, dict) else None
    return scales[0] if scales else None


def placements(scales: dict[str, Any], axes: int) -> list[tuple[str, Placement]]:
    """Return the name and placement of each axis of the finest level; [] if axes are unnamed.

    Parameters
    ----------
    scales : dict
        From `multiscales`. Axes are strings in version 0.3 and absent before.
    axes : int
        Number of axes of the array.
    """
    metadata = [
        axis if isinstance(axis, dict) else {"name": axis} for axis in scales.get("axes", ())
    ]
    scale, translation = np.ones(axes), np.zeros(axes)
    for holder in (scales["datasets"][0], scales):
        for transform in holder.get("coordinateTransformations", ()):
            step = np.asarray(transform.get("scale", 1.0), float)
            scale, translation = scale * step, translation * step
            translation = translation + np.asarray(transform.get("translation", 0.0), float)
    return [
        (axis["name"], Placement(float(step), float(start), axis.get("unit")))
        for axis, step, start in zip(metadata, scale, translation, strict=bool(metadata))
    ]
