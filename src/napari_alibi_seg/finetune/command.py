"""Command line shared by all training runs.

Exit codes: 0 success, 1 a loss that is not finite, 2 wrong usage, 130 interrupted; errors by
subject: 3 image, 5 model, 7 output, 8 device or memory.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari_alibi_seg.core.terminal import INTERRUPTED, run_command, say, tell
from napari_alibi_seg.finetune.options import CONFIG_FILE, ConfigError, add_options
from napari_alibi_seg.finetune.run_config import RunConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_alibi_seg.finetune.run import TrainingOutcome

Config = TypeVar("Config", bound=RunConfig)

_ADVICE = "use smaller batches and crops, or a lower --memory"
_EXIT_CODES = (__doc__ or "").partition("\n\n")[2]


@dataclass(frozen=True)
class Command(Generic[Config]):
    """Command line for one kind of training run.

    Attributes
    ----------
    module : str
        Module that ``python -m`` runs.
    about : str
        One-sentence description for ``--help``.
    record : type
        Class of the options, a `RunConfig`.
    train : callable
        Called with the options, the output folder and whether to resume the run in it; returns
        the outcome, or None in a process that has nothing to report.
    """

    module: str
    about: str
    record: type[Config]
    train: Callable[[Config, Path, bool], TrainingOutcome | None]

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser: one option per field of the record, plus those for the folder."""
        made = argparse.ArgumentParser(
            prog=f"python -m {self.module}",
            description=self.about,
            epilog=_EXIT_CODES,
            argument_default=argparse.SUPPRESS,
        )
        made.add_argument(
            "--output", type=Path, required=True, metavar="RUN", help="folder of the run"
        )
        made.add_argument(
            "--resume", action="store_true", default=False, help="continue the run in RUN"
        )
        made.add_argument(
            "--config",
            type=Path,
            default=None,
            metavar="FILE",
            help=f"options saved by a run ({CONFIG_FILE}); those on the command line override them",
        )
        add_options(made, self.record)
        return made

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Train with the given command-line arguments and return the exit code.

        Parameters
        ----------
        arguments : sequence of str, optional
            Arguments without the program name; by default those of the process.
        """
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        given = vars(self.parser().parse_args(arguments))
        output, resume = given.pop("output"), given.pop("resume")
        return run_command(lambda: self._run(given, output, resume), _ADVICE)

    def _run(self, given: dict[str, Any], output: Path, resume: bool) -> int:
        config = _config(self.record, given, output if resume else None)
        try:
            outcome = self.train(config, output, resume)
        except KeyboardInterrupt:
            kept = _way_on(output, self.record.KEPT) or "; nothing was begun"
            say(f"interrupted before this command took a step{kept}.")
            return INTERRUPTED
        if outcome is None:
            return 0
        tell(_summary(outcome))
        if outcome.step == outcome.steps:
            return 0
        say(f"interrupted and saved{_way_on(output)}.")
        return INTERRUPTED


def _way_on(output: Path, kept: str = "") -> str:
    begun = os.path.exists(output / CONFIG_FILE)
    return f"{kept and '; ' + kept}; go on with --output {output} --resume" if begun else ""


def _summary(outcome: TrainingOutcome) -> str:
    scores = {} if outcome.scores is None else asdict(outcome.scores)
    lines = [f"{outcome.made}: step {outcome.step} of {outcome.steps}"]
    lines += [f"{name}: {value:.4g}" for name, value in scores.items()]
    return "\n".join(lines)


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
    if not config.images and resumed is None:  # a resumed run has them in its config
        raise ConfigError("No images were given; name image files or folders with images.")
    return config
