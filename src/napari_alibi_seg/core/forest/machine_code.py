"""Functions compiled by numba, with a disk cache where possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba.extending

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def compiled(function: _Function) -> _Function:
    """Compile a function with numba on its first call; it releases the GIL."""
    try:
        made: Any = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # there is no writable cache folder
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast("_Function", made)


def intrinsic(typing: Callable[..., Any]) -> Any:
    """Wrap numba's `intrinsic`, whose type hints do not let compiled code call the result."""
    return numba.extending.intrinsic(typing)
