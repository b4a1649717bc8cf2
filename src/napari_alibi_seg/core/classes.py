"""Names and colours of classes. Has no heavy imports."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import starmap
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from napari_alibi_seg.core.errors import ScribbleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

Colour: TypeAlias = tuple[int, int, int]
"""Red, green, blue in 0 to 255."""

# The Okabe-Ito palette, which is colour-blind safe.
_PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
)
_ALIKE = 60  # the two closest colours of the palette are 67 apart


@dataclass(frozen=True)
class ClassInfo:
    """A class with its name and colour.

    Attributes
    ----------
    value : int
        Value in scribbles and labels, 1 to 65535. Others but 0 are no error here: the window lists
        whatever is painted, and training refuses it.
    name : str
        Name given by the user.
    colour : tuple of int
        Red, green, blue in 0 to 255.
    """

    value: int
    name: str
    colour: Colour

    def __post_init__(self) -> None:
        """Reject invalid values; convert numpy numbers to Python's."""
        if not isinstance(self.value, Integral) or self.value == 0:
            raise ScribbleError(
                f"The value {self.value!r} is no class; give a whole number of 1 or more."
            )
        try:
            red, green, blue = map(int, self.colour)
        except (TypeError, ValueError):
            red = green = blue = -1
        if not isinstance(self.name, str) or not {red, green, blue} <= set(range(256)):
            raise ScribbleError(
                f"A class cannot have the name {self.name!r} and the colour {self.colour!r}; give "
                "a text, and red, green and blue from 0 to 255."
            )
        object.__setattr__(self, "value", int(self.value))
        object.__setattr__(self, "colour", (red, green, blue))

    @classmethod
    def default(cls, value: int, name: str = "") -> Self:
        """Return a class with the default colour of its value, and a default name if none given."""
        plain = cls(value, name or f"class {value}", _PALETTE[0])
        return replace(plain, colour=_colour(plain.value))

    @classmethod
    def beside(cls, value: int, others: Iterable[ClassInfo]) -> Self:
        """Return a class with a default name and a colour distinguishable from those of others.

        If there is no such colour left, it is the one that is least like them.
        """
        taken, tried = [other.colour for other in others], [*map(_colour, (value, *range(1, 40)))]

        def apart(colour: Colour) -> float:
            return min((math.dist(colour, other) for other in taken), default=math.inf)

        free = (colour for colour in tried if apart(colour) > _ALIKE)
        return replace(cls.default(value), colour=next(free, max(tried, key=apart)))

    @classmethod
    def given(cls, classes: Iterable[ClassInfo] | Mapping[int, str]) -> tuple[ClassInfo, ...]:
        """Return classes as given, or named by value in default colours; reject anything else."""
        if isinstance(classes, Mapping):
            names = [*classes.values()]
            if any(name and names.count(name) > 1 for name in names):  # "" is a default name
                raise ScribbleError(
                    f"{classes!r} gives two classes one name, by which tables could not tell them "
                    "apart; give each its own."
                )
            return tuple(starmap(cls.default, classes.items()))
        found = tuple(classes) if isinstance(classes, Iterable) else (classes,)
        if not all(isinstance(info, ClassInfo) for info in found):
            raise ScribbleError(
                f"Classes are given as ClassInfo, or as names by value, but these are {classes!r}; "
                "write, for example, {1: 'matrix', 2: 'pores'}."
            )
        return found

    @classmethod
    def of(
        cls, values: NDArray[np.integer[Any]], given: Sequence[ClassInfo]
    ) -> tuple[ClassInfo, ...]:
        """Return the class of each value, as given or else a default one."""
        known = {info.value: info for info in given}
        return tuple(known.get(int(value), cls.default(int(value))) for value in values)


def _colour(value: int) -> Colour:
    if 1 <= value <= len(_PALETTE):
        return _PALETTE[value - 1]
    hue = value * 0.618034 % 1  # golden ratio: successive hues never come close
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.7, 0.9))
    return red, green, blue
