"""What the command lines of all training runs share.

Exit codes: 0 done, 1 a loss that is no number, 2 wrong usage, 3 image, 5 model, 7 output, 8 device,
130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.finetune.options import CONFIG_FILE, ConfigError, add_options
from napari_alibi_seg.finetune.run_config import RunConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_alibi_seg.finetune.session import Outcome

Config = TypeVar("Config", bound=RunConfig)

_INTERRUPTED = 130
_EXIT_CODES = (__doc__ or "").partition("\n\n")[2]


def run_parser(program: str, description: str, record: type[RunConfig]) -> argparse.ArgumentParser:
    """Return a parser: one option for every field of a record, and those of a run's folder."""
    made = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=_EXIT_CODES,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    made.add_argument(
        "--resume", action="store_true", default=False, help="go on with the run in RUN"
    )
    made.add_argument(
        "--config",
        type=Path,
        default=None,
        metavar="FILE",
        help=f"options saved by a run ({CONFIG_FILE}); options given besides take precedence",
    )
    add_options(made, record)
    return made


def run_command(
    parser: argparse.ArgumentParser,
    record: type[Config],
    work: Callable[[Config, Path, bool], Outcome | None],
    arguments: Sequence[str] | None,
) -> int:
    """Do what the command line says; return the exit code.

    Parameters
    ----------
    parser : ArgumentParser
        By `run_parser`.
    record : type
        Of the options.
    work : callable
        Trains with options, in a folder, from the start or where a run in it was left; returns
        None if there is nothing to tell.
    arguments : sequence of str, optional
        Without the program's name; None for those of the process.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = vars(parser.parse_args(arguments))
    output, resume = given.pop("output"), given.pop("resume")
    try:
        outcome = work(_config(record, given, output if resume else None), output, resume)
    except AlibiSegError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        kept = _way_on(output, record.KEPT) or "; nothing was begun"
        sys.stderr.write(f"Interrupted before a step was taken{kept}.\n")
        return _INTERRUPTED
    if outcome is None:
        return 0
    sys.stdout.write(_summary(outcome))
    if outcome.step == outcome.steps:
        return 0
    sys.stderr.write(f"Interrupted and saved{_way_on(output)}.\n")
    return _INTERRUPTED


def _way_on(output: Path, kept: str = "") -> str:
    begun = os.path.exists(output / CONFIG_FILE)
    return f"{kept and '; ' + kept}; go on with --output {output} --resume" if begun else ""


def _summary(outcome: Outcome) -> str:
    scores = {} if outcome.scores is None else asdict(outcome.scores)
    lines = [f"{outcome.made}: step {outcome.step} of {outcome.steps}"]
    lines += [f"{name}: {value:.4g}" for name, value in scores.items()]
    return "\n".join(lines) + "\n"


def _config(record: type[Config], given: dict[str, Any], resumed: Path | None) -> Config:
    file = given.pop("config")
    if file is None and resumed is not None and os.path.exists(resumed / CONFIG_FILE):
        file = resumed / CONFIG_FILE
    config = record() if file is None else record.read(file)
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value != []
    }
    config = config.changed(values).from_anywhere()
    if not config.images and resumed is None:  # a run that is resumed knows its own, if it is one
        raise ConfigError("No images were given; name image files or folders with images.")
    return config
