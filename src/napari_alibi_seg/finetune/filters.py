"""Command line that trains learned filters; see ``--help``.

Exit codes: 0 done, 1 a loss that is no number, 2 wrong usage, 3 image, 5 model, 7 output, 8 device,
130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.finetune.filter_config import FilterConfig
from napari_alibi_seg.finetune.options import (
    CONFIG_FILE,
    ConfigError,
    add_options,
    add_run_options,
    given_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_alibi_seg.finetune.filter_session import FilterOutcome

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
    output, resume = given.pop("output"), given.pop("resume")
    go_on = f"go on with --output {output} --resume"
    try:
        from napari_alibi_seg.finetune.filter_session import train_filters

        outcome = train_filters(_config(given, output if resume else None), output, resume)
    except AlibiSegError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        begun = (output / CONFIG_FILE).exists()
        kept = f"the tokens so far are kept; {go_on}" if begun else "nothing was begun"
        sys.stderr.write(f"Interrupted before a step was taken; {kept}.\n")
        return _INTERRUPTED
    sys.stdout.write(_summary(outcome))
    if outcome.step == outcome.steps:
        return 0
    sys.stderr.write(f"Interrupted and saved; {go_on}.\n")
    return _INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser: one option for every field of `FilterConfig`."""
    made = argparse.ArgumentParser(
        prog="python -m napari_alibi_seg.finetune.filters",
        description="Train filters of pixels to foretell a model's tokens and to tell phases apart "
        "from few strokes.",
        epilog=_EXIT_CODES,
        argument_default=argparse.SUPPRESS,
    )
    add_run_options(made)
    add_options(made, FilterConfig)
    return made


def _summary(outcome: FilterOutcome) -> str:
    scores = {} if outcome.scores is None else asdict(outcome.scores)
    lines = [f"{outcome.filters}: step {outcome.step} of {outcome.steps}"]
    lines += [f"{name}: {value:.4g}" for name, value in scores.items()]
    return "\n".join(lines) + "\n"


def _config(given: dict[str, Any], resumed: Path | None) -> FilterConfig:
    saved = None if resumed is None else resumed / CONFIG_FILE
    known = saved is not None and saved.exists()
    config = FilterConfig.read(saved) if saved is not None and known else FilterConfig()
    config = replace(config, **given_values(given)).from_anywhere()
    if not config.images and resumed is None:  # a run that is resumed knows its own, if it is one
        raise ConfigError("No images were given; name image files or folders with images.")
    return config


if __name__ == "__main__":
    sys.exit(main())
