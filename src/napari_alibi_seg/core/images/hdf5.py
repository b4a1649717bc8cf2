"""Images in HDF5 files, with axes from dimension labels or from the ``axistags`` of ilastik."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py

from napari_alibi_seg.core.images.stored import Pieces, Stored, choose, is_image, letters

if TYPE_CHECKING:
    from pathlib import Path


def open_hdf5(path: Path, dataset: str | None) -> Stored:
    """Open a dataset of a file; its name is optional if there is only one. See `open_stored`."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and is_image(item.shape, item.dtype.kind):
            shapes[name] = item.shape

    def read(key: Any) -> Any:
        with h5py.File(path) as file:
            return file[name][key]

    with h5py.File(path) as file:
        file.visititems(note)
        name = choose(path, shapes, dataset)
        item = file[name]
        pieces = Pieces(path, item.shape, item.dtype, read, item.chunks)
        return Stored(pieces, _hdf5_axes(item), path=path)


def _hdf5_axes(item: h5py.Dataset) -> str | None:
    """Read dimension labels, or the ``axistags`` of ilastik and vigra."""
    if "axistags" in item.attrs:
        return letters([tag["key"] for tag in json.loads(item.attrs["axistags"])["axes"]])
    labels = [dimension.label for dimension in item.dims]
    return letters(labels) if any(labels) else None
