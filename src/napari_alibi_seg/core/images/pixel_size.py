"""Pixel sizes, and their parsing from file metadata."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "nm": 1e-9, "pm": 1e-12, "Å": 1e-10}
_SPELLINGS = {
    "m": ("meter", "metre"),
    "cm": ("centimeter", "centimetre"),
    "mm": ("millimeter", "millimetre"),
    "µm": ("micrometer", "micrometre", "micron", "microns", "um", "\u03bcm"),
    "nm": ("nanometer", "nanometre"),
    "pm": ("picometer", "picometre"),
    "Å": ("angstrom", "\u212b"),
}
_SYMBOLS = {name: symbol for symbol, names in _SPELLINGS.items() for name in (symbol, *names)}
_SYMBOLS |= {f"{name}s": symbol for name, symbol in _SYMBOLS.items() if len(name) > 3}
_NO_LENGTHS = ("", "none", "pixel", "pixels", "px", "voxel", "dimensionless", "reference frame")
_PRINTED_DPI = 5000


@dataclass(frozen=True)
class PixelSize:
    """Distance between the centres of neighbouring pixels, in `unit`.

    Attributes
    ----------
    unit : str
        m, cm, mm, µm, nm, pm or Å; other spellings of these are converted, other units kept.
    z : float or None
        Slice spacing; None if unknown or there is only one plane.
    y, x : float
        Distance between rows and between columns.
    """

    unit: str
    z: float | None
    y: float
    x: float

    def __post_init__(self) -> None:
        """Normalise the unit to its symbol; reject sizes that are not positive and finite."""
        lengths = {"y": self.y, "x": self.x} | ({} if self.z is None else {"z": self.z})
        valid = all(isinstance(length, Real) and _positive(length) for length in lengths.values())
        unit = _unit(self.unit.strip()) if isinstance(self.unit, str) else None
        if not (valid and _positive(self.y * self.x)) or unit is None:
            raise ImageError(
                f"Pixels cannot be {self.y!r} by {self.x!r} large, in planes {self.z!r} apart, in "
                f"the unit {self.unit!r}; give positive numbers (z may be None) and a unit like "
                "'nm'."
            )
        for axis, length in lengths.items():
            object.__setattr__(self, axis, float(length))
        object.__setattr__(self, "unit", unit)

    @property
    def lengths(self) -> dict[str, tuple[float | None, str]]:
        """Each length with its unit, by axis, as `calibrate` takes them."""
        return {"z": (self.z, self.unit), "y": (self.y, self.unit), "x": (self.x, self.unit)}

    @property
    def metres_per_unit(self) -> float | None:
        """Length of `unit` in metres; None for an unknown unit."""
        return _METRES.get(self.unit)

    @property
    def unit_name(self) -> str:
        """`unit` spelt out as in OME-Zarr, such as ``micrometer``."""
        return _SPELLINGS.get(self.unit, (self.unit,))[0]

    @property
    def area(self) -> float:
        """Pixel area, in `unit` squared."""
        return self.y * self.x

    @property
    def side(self) -> float:
        """Side of a square of the same area, in `unit`."""
        return math.sqrt(self.area)

    @property
    def anisotropy(self) -> float | None:
        """Slice spacing divided by `side`; None if unknown."""
        return None if self.z is None else self.z / self.side

    @property
    def words(self) -> str:
        """`side` with its unit, such as ``4 nm``."""
        return f"{self.side:.4g} {self.unit}"

    def times(self, other: PixelSize) -> float | None:
        """Return how many times as large as another its side is; None if units are unknown."""
        side = converted(self.side, self.unit, other.unit)
        return None if side is None else side / other.side

    def with_spacing_of(self, other: PixelSize | None) -> PixelSize:
        """Return this size, with the slice spacing of another, if known, where it has none."""
        if self.z is not None or other is None:
            return self
        return calibrate(self.lengths | {"z": other.lengths["z"]}) or self


def common_size(sizes: Iterable[PixelSize | None]) -> PixelSize | None:
    """Return the first size if all are known and within a hundredth of it; else None.

    Its slice spacing is None unless they agree in it, too.
    """
    first, *others = sizes
    for one in others:
        times = None if first is None or one is None else one.times(first)
        if times is None or not math.isclose(times, 1, rel_tol=0.01):
            return None
        assert first is not None
        assert one is not None
        apart, its = first.anisotropy, one.anisotropy
        if apart and not (its and math.isclose(apart, its, rel_tol=0.01)):
            first = replace(first, z=None)
    return first


def saved_size(fields: Mapping[str, Any] | None) -> PixelSize | None:
    """Return a pixel size from the fields in a file; None for none."""
    if not fields:
        return None
    return calibrate({axis: (fields[axis], fields["unit"]) for axis in "zyx"})


def converted(length: float, unit: str | None, to: str) -> float | None:
    """Convert a length to another unit, a `PixelSize.unit`; None if they are unknown and differ."""
    own = _unit(str(unit).strip())
    if own == to:
        return length
    if own not in _METRES or to not in _METRES:
        return None
    return length * _METRES[own] / _METRES[to]


def calibrate(lengths: Mapping[str, tuple[object, object]]) -> PixelSize | None:
    """Make a pixel size from metadata, with all lengths converted to the unit of x.

    Parameters
    ----------
    lengths : mapping
        From ``z``, ``y`` and ``x`` to a number and its unit name.

    Returns
    -------
    PixelSize or None
        None if x or y is missing, not a positive number or in pixels, if the unit of y cannot be
        converted to that of x, or if the area overflows.
    """
    usable = {}
    for axis, (number, name) in lengths.items():
        length, unit = _positive(number), _unit(str(name).strip())
        if length is not None and unit is not None:
            usable[axis] = (length, unit)
    if "x" not in usable:
        return None
    x, unit = usable["x"]
    y, z = (converted(*usable[axis], unit) if axis in usable else None for axis in "yz")
    return PixelSize(unit, z, y, x) if y is not None and _positive(y * x) else None


def _unit(name: str) -> str | None:
    """Return the symbol of a unit, or its name if unknown; None if it is not a length."""
    if name.lower() in _NO_LENGTHS or not name.isprintable():
        return None
    return _SYMBOLS.get(name) or _SYMBOLS.get(name.lower() if len(name) > 3 else name, name)


def _positive(number: object) -> float | None:
    try:
        value = float(number)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def resolution_size(dots_y: float, dots_x: float) -> PixelSize | None:
    """Convert dots per inch to a pixel size in µm; None for 5000 dpi or less, or NaN.

    Such values are print or screen resolutions, or the placeholder 1, written by programs that do
    not know the scale.
    """
    if min(dots_y, dots_x) <= _PRINTED_DPI:
        return None
    return calibrate({"y": (25400 / dots_y, "µm"), "x": (25400 / dots_x, "µm")})
