"""Patch features as a Zarr file that other programs can read."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import zarr

from napari_alibi_seg.core.features import FeatureExtractor, automatic_scale
from napari_alibi_seg.core.images import planes_of
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from napari_alibi_seg.core.images import Micrograph


def write_features(
    path: Path,
    image: Micrograph,
    extractor: FeatureExtractor,
    scale: int | None = None,
    progress: Progress = silent,
) -> None:
    """Compute the features of every plane and write them as one Zarr array.

    The array has the axes of the image's planes, then patch rows, patch columns and channels,
    in float16. Its attributes hold `stride` (pixels per token; token i is centred on pixel
    ``stride * (i + .5) - .5``), `axes` and `identity` (model, weights, geometry, block,
    scale, tiling).

    Parameters
    ----------
    path : Path
        A folder, by custom ``*.zarr``; written aside, then renamed.
    image : Micrograph
        A plane or a stack of planes.
    extractor : FeatureExtractor
        With the model.
    scale : int, optional
        Magnification; None chooses by the size of a plane (`automatic_scale`).
    progress : callable
        Told after every tile.
    """
    planes = planes_of(image)
    shape = next(iter(planes.values())).shape
    scale = scale or automatic_scale(shape)
    leading = image.label_shape[:-2]
    grid = (*extractor.grid(shape, scale), extractor.backbone.channels)
    with replacing(path) as aside:
        array = zarr.create_array(
            aside, shape=(*leading, *grid), chunks=(*[1] * len(leading), *grid), dtype="float16"
        )
        array.attrs["axes"] = [*image.label_axes.lower(), "channel"]
        array.attrs["stride"] = extractor.backbone.patch_size / scale
        array.attrs["identity"] = json.loads(json.dumps(asdict(extractor.identity(scale))))
        for index, plane in planes.items():
            array[index] = extractor.extract(plane, scale, progress).tokens
