"""Arrays as stored in files: axes as named there, and read only when needed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from napari_alibi_seg.core.errors import DAMAGE, ImageError, UnsettledError, inaccessible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import dask.array as da
    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.ome_zarr import Placement
    from napari_alibi_seg.core.images.pixel_size import PixelSize

    Array: TypeAlias = NDArray[Any] | da.Array

COPIED_BYTES = 2**28
"""Arrays larger than this are transposed and converted lazily instead of being copied."""

_PIECE_SIDE = 1024
_SIDE_BY_SIDE = 16  # up to this many interleaved channels are read together if unchunked


@dataclass(frozen=True, eq=False)
class Stored:
    """An array as its file, or its owner, holds it.

    Attributes
    ----------
    data : array or Pieces
        In the axis order of the file.
    axes : str or None
        One letter per dimension, S for colour samples, a letter outside TZYXCS for an unknown
        axis; None if no axis is named.
    pixel_size : PixelSize or None
        Spatial calibration.
    path : Path or None
        The file; None for an array from memory.
    placed : mapping
        Scale and translation by lower-case axis letter, if the file is an OME-Zarr.
    """

    data: Array | Pieces
    axes: str | None = None
    pixel_size: PixelSize | None = None
    path: Path | None = None
    placed: Mapping[str, Placement] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the axis order of the file."""
        return tuple(int(length) for length in self.data.shape)

    @property
    def named(self) -> bool:
        """Whether every dimension has a unique letter, including Y and X."""
        letters = self.axes or ""
        return len(letters) == len(set(letters)) == len(self.shape) and {*"YX"} <= {*letters}

    @property
    def name(self) -> str:
        """How messages refer to it."""
        return "the array" if self.path is None else str(self.path)

    def array(self, axes: str | None = None) -> Array:
        """Return the data, as a dask array if it is `Pieces`; see `lazily`."""
        data = self.data
        return lazily(data, data.chunks, axes) if isinstance(data, Pieces) else data


@dataclass(frozen=True, eq=False)
class Pieces:
    """An array in a file that is reopened for each read, so that no handle stays open.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        Shape in the axis order of the file.
    dtype : dtype
        Type of the values.
    read : callable
        Reads the values at an index, usually a tuple of slices.
    chunks : tuple of int or None
        Chunk shape; None if the array is stored contiguously.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Any], Any]
    chunks: tuple[int, ...] | None

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        with reading(self.path, lambda: self._damaged_part(key)):
            return np.asarray(self.read(key))

    def _damaged_part(self, key: Any) -> str | None:
        """Describe the first chunk that cannot be read; None if unknown."""
        parts = key if isinstance(key, tuple) else ()
        if self.chunks is None or [type(part) for part in parts] != [slice] * self.ndim:
            return None
        wanted = [range(length)[part] for length, part in zip(self.shape, parts, strict=True)]
        spans = zip(wanted, self.chunks, strict=True)
        chunks = [range(min(indices) // size, max(indices) // size + 1) for indices, size in spans]
        for chunk in product(*chunks):
            starts = [n * size for n, size in zip(chunk, self.chunks, strict=True)]
            ends = map(sum, zip(starts, self.chunks, strict=True))
            bounds = [*zip(starts, map(min, ends, self.shape), strict=True)]
            try:
                self.read(tuple(slice(*bound) for bound in bounds))
            except DAMAGE:
                where = ", ".join(f"{start}:{end}" for start, end in bounds)
                return f"[{where}], which is its chunk {'/'.join(map(str, chunk))},"
        return None


@contextmanager
def reading(path: Path, part: Callable[[], str | None] | None = None) -> Iterator[None]:
    """Convert the errors that readers raise on inaccessible or damaged files to `ImageError`.

    Parameters
    ----------
    path : Path
        The file.
    part : callable, optional
        For a part of an array that was opened; called after an error, describes what is damaged,
        or returns None.

    Raises
    ------
    ImageError
        With advice on what to do about the file.
    MemoryError
        If a part of an array does not fit into memory.
    """
    try:
        yield
    except DAMAGE as error:
        if part and isinstance(error, MemoryError):
            raise
        if told := inaccessible(path, error):
            raise ImageError(told) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        where = part() if part else None
        if where is None:
            raise damaged(path, reason) from error
        raise ImageError(
            f"{path} cannot be read at {where} and is probably damaged or incomplete there "
            f"({reason}); copy it again from where it came."
        ) from error


def damaged(path: Path, reason: str) -> ImageError:
    """Return the error for a file that cannot be read."""
    return ImageError(
        f"{path} cannot be read and is probably damaged, incomplete or of another kind than its "
        f"name says ({reason}); copy it again, or save it as TIFF from a program that opens it."
    )


def choose(path: Path, shapes: Mapping[str, tuple[int, ...]], dataset: str | None) -> str:
    """Return the name of the requested array, or of the only one there is.

    Raises
    ------
    ImageError
        If there is no array.
    UnsettledError
        If there are several and none is requested, or none has the requested name.
    """
    if dataset is not None and dataset.strip("/") in shapes:
        return dataset.strip("/")
    if dataset is None and len(shapes) == 1:
        return next(iter(shapes))
    if not shapes:
        raise nothing_in(path)
    held = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    trouble = "holds several arrays" if dataset is None else f"holds no {dataset!r}"
    raise UnsettledError(f"{path} {trouble}", f"choose a dataset (--dataset NAME) among: {held}")


def nothing_in(path: Path) -> ImageError:
    """Return the error for a file that contains no image."""
    return ImageError(
        f"{path} holds no array of numbers with two or more dimensions; choose another file."
    )


def copyable(data: Array, axes: str | None = None) -> Array:
    """Wrap a large numpy array (in memory or memory-mapped) lazily, to avoid copying it whole."""
    if isinstance(data, np.ndarray) and data.nbytes > COPIED_BYTES:
        return lazily(data, axes=axes)
    return data


def lazily(array: Any, chunks: tuple[int, ...] | None = None, axes: str | None = None) -> da.Array:
    """Wrap an array as a dask array that is read and processed block by block.

    Dask blocks consist of whole stored chunks, adjacent in rows and columns, so that reading a
    plane touches only the chunks it intersects, each once.

    Parameters
    ----------
    array : array-like
        With a shape of two or more dimensions, a dtype and slicing.
    chunks : tuple of int, optional
        Chunk shape; None if it is stored contiguously.
    axes : str, optional
        One letter per dimension; by default Y and X are the last two, or the two before a last
        axis of length 4 or less.
    """
    import dask.array as da  # takes about a second, and most images are small

    shape = tuple(array.shape)
    letters = str(axes or "").upper()
    if len(letters) != len(shape) or not {*"YX"} <= {*letters}:
        letters = f"{'YXS' if len(shape) > 2 and shape[-1] <= 4 else 'YX':?>{len(shape)}}"
    y, x = letters.index("Y"), letters.index("X")
    pieces = list(chunks or [1] * len(shape))
    if chunks is None and shape[-1] <= _SIDE_BY_SIDE and max(x, y) < len(shape) - 1:
        pieces[-1] = shape[-1]
    pieces[x] = _whole_chunks(pieces[x], _PIECE_SIDE)
    pieces[y] = _whole_chunks(pieces[y], _PIECE_SIDE**2 // pieces[x])
    wrapped: da.Array = da.from_array(
        array,
        chunks=tuple(pieces),
        name=False,
        meta=np.empty((0,) * len(shape), array.dtype),
    )
    return wrapped


def as_array(data: Any, axes: str | None = None) -> Array:
    """Return numpy and dask arrays unchanged, chunked arrays lazily, and others as numpy arrays.

    Parameters
    ----------
    data : array-like
        numpy, dask, zarr or h5py.
    axes : str, optional
        As for `lazily`.

    Raises
    ------
    ImageError
        If the shape is unknown or ragged.
    """
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "dask"):
        if np.isnan(data.shape).any():
            raise ImageError(
                f"The shape {data.shape} of the array is not known; call compute_chunk_sizes() of "
                "it first."
            )
        return cast("Array", data)
    if hasattr(data, "chunks") and len(data.shape) >= 2:
        return lazily(data, data.chunks, axes)
    try:
        return np.asarray(data)
    except ValueError as error:
        raise ImageError(f"This is no array of numbers ({error}); give one.") from error


def in_memory(data: Array, scheduler: str | None = None) -> NDArray[Any]:
    """Return the values of a numpy or dask array, or of a part of one, read by dask's scheduler.

    Callbacks of dask are for the whole process, and that of napari, which keeps what is read for
    the screen, fails when two threads read at once; so none of them sees what is read here.
    """
    if isinstance(data, np.ndarray):
        return np.asarray(data)
    read: NDArray[Any] = data.compute(scheduler=scheduler, callbacks=())
    return read


def _whole_chunks(chunk: int, wanted: int) -> int:
    return chunk * max(1, wanted // chunk)


def is_image(shape: tuple[int, ...] | None, kind: str) -> bool:
    """Return whether an array of this shape and numpy dtype kind may be an image."""
    return len(shape or ()) >= 2 and kind in "biufc"


def letters(names: list[str]) -> str:
    """Return axis names as one string of capitals, with `?` for names of several letters."""
    return "".join(name.upper() if len(name) == 1 else "?" for name in names)
