"""Projects on disk: a zip archive, whose loading cannot execute code.

It contains the human-readable ``project.json`` and the scribbled pixels as two numpy arrays. The
path of the image is stored relative to the project, so a folder with both can be moved.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.errors import DAMAGE, AlibiSegError, ProjectError, inaccessible
from napari_alibi_seg.core.headers import versions, with_tuples
from napari_alibi_seg.core.images.micrograph import ImageFile
from napari_alibi_seg.core.images.pixel_size import saved_size
from napari_alibi_seg.core.runs.project import Project, SparseScribbles
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray


_FORMAT = "napari-alibi-seg project 2"
_LARGEST_HEADER = 2**26
_NPY_HEADER = 2**10
_CLASS_BYTES, _INDEX_BYTES = 2, 8


def save_project(project: Project, path: str | Path) -> None:
    """Write a project file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    arrays = {"positions": project.scribbles.positions, "values": project.scribbles.values}
    with (
        replacing(path) as aside,
        zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr("project.json", json.dumps(_header(project, path), indent=1))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load_project(path: str | Path) -> Project:
    """Read a project written by `save_project`, without opening its image.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Project
        With the absolute path of its image.

    Raises
    ------
    ProjectError
        If the file is missing, damaged or of another kind.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise ProjectError(f"There is no project file {path}; check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            _require_size(archive, "project.json", _LARGEST_HEADER)
            header = json.loads(archive.read("project.json"), object_hook=with_tuples)
            if header["format"] != _FORMAT:
                raise ValueError(f"expected {_FORMAT!r}, found {header['format']!r}")
            scribbles = _scribbles(archive, tuple(int(length) for length in header["shape"]))
        _require_inside(scribbles)
        return _project(header, scribbles, path)
    except (*DAMAGE, AlibiSegError) as error:
        raise ProjectError(
            inaccessible(path, error)
            or f"{path} is no project of napari-alibi-seg or is damaged ({error}); use another "
            "copy of it, or save it again."
        ) from error


def _scribbles(archive: zipfile.ZipFile, shape: tuple[int, ...]) -> SparseScribbles:
    values = _array(archive, "values", math.prod(shape) * _CLASS_BYTES)
    positions = _array(archive, "positions", values.size * len(shape) * _INDEX_BYTES)
    return SparseScribbles(shape, positions, values)


def _array(archive: zipfile.ZipFile, name: str, most: int) -> NDArray[Any]:
    member = f"{name}.npy"
    _require_size(archive, member, most + _NPY_HEADER)
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _require_size(archive: zipfile.ZipFile, member: str, most: int) -> None:
    """Reject what a small file may unpack to, before it takes the memory."""
    if archive.getinfo(member).file_size > most:
        raise ValueError(f"its {member} is too large")


def _require_inside(scribbles: SparseScribbles) -> None:
    positions, values = scribbles.positions, scribbles.values
    if positions.dtype.kind != "i" or values.dtype not in (np.uint8, np.uint16):
        raise ValueError("the painted pixels are of another type")
    if positions.shape != (len(values), len(scribbles.shape)) or values.min(initial=1) < 1:
        raise ValueError("positions and classes do not belong together")
    if positions.min(initial=0) < 0 or np.any(positions >= scribbles.shape):
        raise ValueError("a painted pixel lies outside the image")


def _header(project: Project, path: Path) -> dict[str, Any]:
    image = project.image
    return {
        "format": _FORMAT,
        "image": image and _image_fields(image, path),
        "content": project.content,
        "shape": project.scribbles.shape,
        "classes": [asdict(info) for info in project.classes],
        "ignored": sorted(project.ignored),
        "config": asdict(project.config),
        "features": project.features,
        "owner": project.owner,
        "pixel_size": project.pixel_size and asdict(project.pixel_size),
        "spacing": project.spacing,
        "name": project.name,
        "versions": versions(),
    }


def _project(header: dict[str, Any], scribbles: SparseScribbles, path: Path) -> Project:
    image, spacing = header["image"], header.get("spacing")
    config = {**header["config"], "channels": ChannelConfig.saved(header["config"]["channels"])}
    return Project(
        scribbles=scribbles,
        classes=tuple(ClassInfo(**fields) for fields in header["classes"]),
        ignored=frozenset(int(value) for value in header["ignored"]),
        config=SegmentationConfig(**config),
        image=None if image is None else _image_file(image, path),
        content=str(header["content"]),
        features=str(header["features"]),
        owner=str(header["owner"]),
        pixel_size=saved_size(header.get("pixel_size")),
        spacing=spacing and float(spacing),
        name=str(header.get("name", "")),
    )


def _image_fields(image: ImageFile, path: Path) -> dict[str, Any]:
    options = {name: value for name, value in asdict(image).items() if value is not None}
    return options | {"path": _relative(image.path, path)}


def _image_file(fields: dict[str, Any], path: Path) -> ImageFile:
    absolute = Path(os.path.normpath(path.absolute().parent / fields["path"]))
    size = saved_size(fields.get("pixel_size"))
    return ImageFile(**{**fields, "path": absolute, "pixel_size": size})


def _relative(image: Path, path: Path) -> str:
    try:
        return Path(os.path.relpath(image.absolute(), path.absolute().parent)).as_posix()
    except ValueError:  # Windows: another drive
        return str(image.absolute())
