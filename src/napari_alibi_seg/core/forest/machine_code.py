"""Functions compiled by numba, the machine code of which is kept where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba.extending

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def compiled(function: _Function) -> _Function:
    """Return a function that is compiled when it is first called, and lets other threads run."""
    try:
        made: Any = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # there is no folder in which machine code may be kept
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast("_Function", made)


def intrinsic(typing: Callable[..., Any]) -> Any:
    """Do as numba's `intrinsic`, whose types do not let compiled code call what it returns."""
    return numba.extending.intrinsic(typing)
