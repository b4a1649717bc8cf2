"""Option records: each field is a command-line option and is saved with the run."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from enum import EnumType
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Self, get_args, get_origin, get_type_hints

from napari_alibi_seg.core.errors import AlibiSegError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG_FILE = "config.json"
"""Name of the saved options in a run's folder."""


class ConfigError(AlibiSegError):
    """An option is unknown, out of range or does not fit another one."""

    exit_code = 2


@dataclass(frozen=True)
class Option:
    """Help text and unit of an option, and whether a resumed run must keep its value."""

    text: str
    unit: str = ""
    fixed: bool = True


@dataclass(frozen=True)
class Options:
    """Base class of option records; every field has a default and an `Option` annotation."""

    @classmethod
    def described(cls) -> dict[str, tuple[Any, Option]]:
        """Return the type and the `Option` of every field, by name."""
        hints = get_type_hints(cls, include_extras=True)
        described = {name: hint for name, hint in hints.items() if get_origin(hint) is Annotated}
        return {name: (hint.__origin__, hint.__metadata__[0]) for name, hint in described.items()}

    def require(self, checks: Mapping[str, bool]) -> None:
        """Raise an error unless all rules hold and all numbers are finite.

        Parameters
        ----------
        checks : mapping of str to bool
            Rules in words, and whether each holds.

        Raises
        ------
        ConfigError
            If a rule does not hold; the message names the first one.
        """
        numbers = [value for value in asdict(self).values() if isinstance(value, float)]
        finite = {"numbers must be finite": all(map(isfinite, numbers))}
        for rule, kept in {**checks, **finite}.items():
            if not kept:
                raise ConfigError(f"The options cannot be used: {rule}; change them.")

    def to_json(self) -> str:
        """Return the options as an indented JSON object."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; options that are missing take their default.

        Raises
        ------
        ConfigError
            If the text is not a JSON object, or an option is unknown or has an invalid value.
        """
        try:
            loaded = cls.of_this_version(json.loads(text))
            kinds = cls.described()
            return cls(**{k: _parsed(k, kinds[k][0], value) for k, value in loaded.items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"The config cannot be read ({error!r}); use one that a run has saved, or see "
                "--help for the options and their values."
            ) from error

    @classmethod
    def of_this_version(cls, loaded: dict[str, Any]) -> dict[str, Any]:
        """Convert options saved by an earlier version; by default, return them unchanged."""
        return loaded

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a saved config.

        Raises
        ------
        ConfigError
            If the file cannot be read or is not a saved config.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The config {path} cannot be read ({error}); give the {CONFIG_FILE} of a run."
            ) from error
        return cls.from_json(text)

    def differences(self, other: Self) -> list[str]:
        """Return the names of the `fixed` options whose values differ."""
        return [
            name
            for name, (_, option) in self.described().items()
            if option.fixed and getattr(self, name) != getattr(other, name)
        ]


def add_options(parser: argparse.ArgumentParser, record: type[Options]) -> None:
    """Add an argument for every option; `images` takes the positional arguments."""
    for name, (kind, option) in record.described().items():
        flag = name if name == "images" else f"--{name.replace('_', '-')}"
        parser.add_argument(
            flag, help=_help(option, getattr(record(), name)), **_reading(name, kind)
        )


def _reading(name: str, kind: Any) -> dict[str, Any]:
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is tuple:
        return {"type": get_args(kind)[0], "nargs": "*" if name == "images" else "+"}
    if isinstance(kind, EnumType):
        return {"type": partial(_member, kind), "choices": list(kind)}
    return {"type": kind}


def _member(kind: EnumType, text: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        allowed = ", ".join(map(str, kind))
        raise argparse.ArgumentTypeError(f"must be one of {allowed}, but is {text!r}") from error


def _help(option: Option, default: Any) -> str:
    unit = f" [{option.unit}]" if option.unit else ""
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{option.text}{unit} (default: {shown or 'none'})".replace("%", "%%")


def _parsed(name: str, kind: Any, value: Any) -> Any:
    if get_origin(kind) is tuple:
        of = get_args(kind)[0]
        return tuple(of(item) for item in value)
    if isinstance(kind, EnumType):
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{name} must be of type {kind.__name__}, not {value!r}")
    return value
