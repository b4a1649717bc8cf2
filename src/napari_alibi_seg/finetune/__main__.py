"""Command line of the finetuning; see ``--help``.

Exit codes: 0 done, 1 a loss that is no number, 2 wrong usage, 3 image, 5 model, 7 output, 8 device,
130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.finetune.config import FinetuneConfig
from napari_alibi_seg.finetune.options import (
    CONFIG_FILE,
    ConfigError,
    add_options,
    add_run_options,
    given_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.finetune.session import Outcome

_INTERRUPTED = 130
_EXIT_CODES = (__doc__ or "").partition("\n\n")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; the default is that of the process.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = vars(parser().parse_args(arguments))
    output, resume, config = given.pop("output"), given.pop("resume"), given.pop("config")
    try:
        from napari_alibi_seg.finetune.session import finetune

        outcome = finetune(_config(given, config, output if resume else None), output, resume)
    except AlibiSegError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted before a step was taken.\n")
        return _INTERRUPTED
    if outcome is None:
        return 0
    sys.stdout.write(_summary(outcome))
    if outcome.step == outcome.steps:
        return 0
    sys.stderr.write(f"Interrupted and saved; go on with --output {output} --resume.\n")
    return _INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser: one option for every field of `FinetuneConfig`."""
    made = argparse.ArgumentParser(
        prog="python -m napari_alibi_seg.finetune",
        description="Distil a vision transformer into its ALiBi form.",
        epilog=_EXIT_CODES,
        argument_default=argparse.SUPPRESS,
    )
    add_run_options(made)
    made.add_argument(
        "--config",
        type=Path,
        default=None,
        metavar="FILE",
        help=f"options saved by a run ({CONFIG_FILE}); options given besides take precedence",
    )
    add_options(made, FinetuneConfig)
    return made


def _summary(outcome: Outcome) -> str:
    scores = {} if outcome.scores is None else asdict(outcome.scores)
    lines = [f"{outcome.student}: step {outcome.step} of {outcome.steps}"]
    lines += [f"{name}: {value:.4g}" for name, value in scores.items()]
    return "\n".join(lines) + "\n"


def _config(given: dict[str, Any], file: Path | None, resumed: Path | None) -> FinetuneConfig:
    if file is None and resumed is not None and os.path.exists(resumed / CONFIG_FILE):
        file = resumed / CONFIG_FILE
    config = FinetuneConfig() if file is None else FinetuneConfig.read(file)
    values = given_values(given)
    sizes = values.get("crop_sizes", config.crop_sizes)
    if len(sizes) != len(config.crop_shares):
        values.setdefault("crop_shares", (1.0,) * len(sizes))
    config = replace(config, **values).from_anywhere()
    if not config.images and resumed is None:  # a run that is resumed knows its own, if it is one
        raise ConfigError("No images were given; name image files or folders with images.")
    return config


if __name__ == "__main__":
    sys.exit(main())
