"""Bring the axes and channels of stored arrays into the order of a `Micrograph`.

Axes are never guessed: they come from the file or from the user. An array of more than two
dimensions whose axes are named by neither is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_alibi_seg.core.errors import ImageError, UnsettledError
from napari_alibi_seg.core.images.pixel_size import calibrate
from napari_alibi_seg.core.images.stored import Stored, copyable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_alibi_seg.core.images.stored import Array

_T = TypeVar("_T")
_COMPARED_ROWS = 512
_LETTERS = "T time, Z planes, Y rows, X columns, C channels, S colours (red, green, blue, alpha)"


def settle_axes(stored: Stored, axes: str | None) -> Stored:
    """Transpose to the order TZYX, then C or S, and drop axes of length one other than Y and X.

    Raises
    ------
    ImageError
        If the array is empty or not numeric, or the axis names do not fit its shape.
    UnsettledError
        If neither the file nor `axes` names the axes.
    """
    _require_numbers(stored)
    letters = _require_names(stored, axes)
    stored = _renamed(stored, letters)
    keep = [n for n, letter in enumerate(letters) if letter in "YX" or stored.data.shape[n] > 1]
    if not {letters[n] for n in keep} <= set("TZYXCS"):
        raise _unnamed(stored)
    data = stored.array(letters)
    data = data[tuple(slice(None) if n in keep else 0 for n in range(len(letters)))]
    remaining = [letters[n] for n in keep]
    order = [remaining.index(letter) for letter in "TZYXCS" if letter in remaining]
    return replace(stored, data=data.transpose(order), axes="".join(remaining[n] for n in order))


def _renamed(stored: Stored, axes: str) -> Stored:
    """Give what the file tells of each of its axes to the name that it is read by."""
    old, new = (stored.axes or "").lower(), axes.lower()
    if len(old) != len(new):
        return stored

    def moved(told: Mapping[str, _T]) -> dict[str, _T]:
        kept = {axis: of_it for axis, of_it in told.items() if axis not in old}
        return kept | {to: told[axis] for axis, to in zip(old, new, strict=True) if axis in told}

    size = stored.pixel_size and calibrate(moved(stored.pixel_size.lengths))
    return replace(stored, axes=axes, pixel_size=size, placed=moved(stored.placed))


def settle_channels(ordered: Stored, channels: int | Sequence[int] | None) -> tuple[Array, str]:
    """Select the requested channels, or the colours of an array with an S axis.

    Colours that are equal become grey unless they are requested, except where the array is lazy.

    Parameters
    ----------
    ordered : Stored
        From `settle_axes`.
    channels : int or sequence of int, optional
        As for `read_image`.

    Returns
    -------
    tuple of array and str
        The data in native byte order, and its axes: a subsequence of TZYX, plus S for colours or C
        for several channels.
    """
    data, letters = ordered.array(), ordered.axes or ""
    if letters[-1] in "CS" or channels is not None:
        chosen = _chosen(ordered, channels)
        if channels is None and len(chosen) == 3 and _all_grey(data):
            chosen = (0,)
        data = _take(ordered, chosen)
        several = "S" if letters[-1] == "S" and len(chosen) == 3 else "C"
        letters = letters.rstrip("CS") + (several if len(chosen) > 1 else "")
    return _native(data, letters), letters


def _require_numbers(stored: Stored) -> None:
    shape, dtype = stored.shape, stored.data.dtype
    if dtype.kind not in "biuf":
        raise ImageError(
            f"The values of {stored.name} are of type {dtype}; convert them to integers, floats "
            "or bool."
        )
    if len(shape) < 2 or 0 in shape:
        raise ImageError(
            f"The shape of {stored.name} is {shape}; an image has at least two dimensions and one "
            "pixel, so choose another file or array."
        )


def _require_names(stored: Stored, axes: str | None) -> str:
    if axes is None:
        if stored.named:
            return stored.axes or ""
        if len(stored.shape) == 2:
            return "YX"
        raise _unnamed(stored)
    letters = str(axes).upper()
    allowed = set("YX") <= set(letters) <= set("TZYXCS")
    if not allowed or len(set(letters)) != len(letters) or len(letters) != len(stored.shape):
        raise ImageError(
            f"The axes {axes!r} do not fit {stored.name}, whose shape is {stored.shape}; name "
            f"each dimension once, Y and X among them: {_LETTERS}."
        )
    return letters


def _unnamed(stored: Stored) -> ImageError:
    count = len(stored.shape)
    likely = "YXS" if count == 3 and stored.shape[-1] in (3, 4) else "TZYXC"[-count - 1 : -1]
    example = "TZYXC" if count == 5 else likely
    channels = ", or CYX for channels" if example == "ZYX" and stored.shape[0] <= 4 else ""
    return UnsettledError(
        f"The shape of {stored.name} is {stored.shape} and nothing tells what its dimensions are",
        f"name each, for example axes={example!r} (--axes {example}){channels}: {_LETTERS}",
    )


def _chosen(ordered: Stored, channels: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the channel indices to select along the last axis: one for grey, or several."""
    letters = ordered.axes or ""
    count = ordered.shape[-1] if letters[-1] in "CS" else 1
    if letters.endswith("CS"):
        raise UnsettledError(
            f"There are both channels and colours in {ordered.name}",
            "name the channels Z or T with axes (--axes), or save one of them as an image of its "
            "own",
        )
    if channels is None:
        if letters[-1] == "S" and count <= 4:
            return (0,) if count == 2 else (0, 1, 2)
        raise _unchosen(ordered, count)
    chosen = np.atleast_1d(channels)
    if chosen.size == 0 or not np.isin(chosen, range(count)).all():
        raise ImageError(
            f"The channels {chosen.tolist()} do not fit {ordered.name}, which has {count}; give "
            f"one index for grey or several to use together, each from 0 to {count - 1}."
        )
    return tuple(int(channel) for channel in chosen)


def _unchosen(ordered: Stored, count: int) -> ImageError:
    colour = "; if they are colours, name that axis S instead of C, as in axes='YXS' (--axes YXS)"
    every = list(range(min(count, 3)))
    return UnsettledError(
        f"There are {count} channels in {ordered.name}",
        "choose one as grey, as in channels=[0] (--channels 0), or several to use together, as in "
        f"channels={every} (--channels {','.join(map(str, every))})"
        f"{colour if count in (3, 4) else ''}",
    )


def _take(ordered: Stored, chosen: tuple[int, ...]) -> Array:
    data = ordered.array()
    data = data if (ordered.axes or "")[-1] in "CS" else data[..., None]
    if len(chosen) == 1:
        return data[..., chosen[0]]
    if chosen == (0, 1, 2):
        return data[..., :3]
    return copyable(data, ordered.axes)[..., list(chosen)]


def _all_grey(colours: Array) -> bool:
    """Return whether an array in memory has the same red, green and blue everywhere."""
    if not isinstance(colours, np.ndarray):
        return False
    for index in np.ndindex(colours.shape[:-3]):
        for top in range(0, colours.shape[-3], _COMPARED_ROWS):
            rows = colours[index][top : top + _COMPARED_ROWS]
            for other in (1, 2):
                if not np.array_equal(rows[..., 0], rows[..., other], equal_nan=True):
                    return False
    return True


def _native(data: Array, axes: str) -> Array:
    if data.dtype.isnative:
        return data
    return copyable(data, axes).astype(data.dtype.newbyteorder("="))
