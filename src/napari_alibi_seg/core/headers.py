"""The JSON headers of saved files."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

_VERSIONS_OF = ("napari-alibi-seg", "scikit-learn", "torch", "timm", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of the packages that a result depends on, to be stored with it."""
    return {name: version(name) for name in _VERSIONS_OF}


def with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Convert lists in a JSON object to tuples, to restore the input of `dataclasses.asdict`."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
