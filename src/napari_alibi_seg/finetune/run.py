"""What all training runs share: the folder and its lock, the loop over the steps, and the logs."""

from __future__ import annotations

import os
import signal
import sys
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from threading import Event
from time import monotonic as clock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from tqdm import tqdm

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.writing import claimed, replacing, require_new_folder
from napari_alibi_seg.finetune.logs import RunLog
from napari_alibi_seg.finetune.optimisation import TrainingError
from napari_alibi_seg.finetune.options import CONFIG_FILE, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.finetune.data import Corpus
    from napari_alibi_seg.finetune.filter_training import FilterReport, FilterTrainer
    from napari_alibi_seg.finetune.logs import Figures
    from napari_alibi_seg.finetune.options import Options
    from napari_alibi_seg.finetune.processes import Processes
    from napari_alibi_seg.finetune.training import StepReport, Trainer

CHECKPOINT = "checkpoint.safetensors"
"""Name of the file to resume from in a run's folder."""

_LOCK = ".lock"
_BAR: dict[str, Any] = {
    "mininterval": 0.5 if sys.stderr.isatty() else 60.0,
    "dynamic_ncols": True,
}

AnyTrainer = TypeVar("AnyTrainer", bound="Trainer | FilterTrainer")


@dataclass(frozen=True)
class TrainingOutcome:
    """Result of a run that is complete or was interrupted.

    Attributes
    ----------
    made : Path
        The exported weights.
    step, steps : int
        Steps taken, and steps of the whole schedule.
    scores : Figures or None
        Latest validation; None if there was none yet.
    """

    made: Path
    step: int
    steps: int
    scores: Figures | None


@dataclass(eq=False)
class Run(ABC, Generic[AnyTrainer]):
    """Runs a trainer and writes its logs, checkpoints, weights and model card.

    Attributes
    ----------
    output : Path
        The run's folder.
    trainer : Trainer or FilterTrainer
        Trainer with its initial or restored state.
    processes : Processes
        This process among all.
    corpus : Corpus
        Training and validation pictures.
    teacher : BackboneIdentity
        Identity of the teacher.
    made_from : str
        Identifies the training data; stored in checkpoints, which must match on resuming.
    scores : Figures or None
        Latest validation; None if there was none yet.
    """

    WEIGHTS: ClassVar[str]
    """Name of the file of the exported weights."""
    SHOWN: ClassVar[str]
    """Format string for the progress bar, applied to the report of a step."""
    SCORES: ClassVar[type[Figures]]
    """Class of the figures of a validation."""

    output: Path
    trainer: AnyTrainer
    processes: Processes
    corpus: Corpus
    teacher: BackboneIdentity
    made_from: str
    scores: Figures | None = field(default=None, init=False)

    @abstractmethod
    def steps(self, stop: Event) -> Iterator[StepReport | FilterReport]:
        """Take steps until the schedule is complete or, after a step, `stop` is set."""

    @abstractmethod
    def validator(self) -> Callable[[], Figures]:
        """Prepare the validation of the averaged weights; called once, in the first process."""

    @abstractmethod
    def export(self) -> None:
        """Write the averaged weights and their card."""

    def train(self) -> TrainingOutcome | None:
        """Train until the schedule is complete or a signal asks to stop; write all files.

        Returns
        -------
        TrainingOutcome or None
            None in all processes but the first.
        """
        processes = self.processes
        with stop_wish() as stop, ExitStack() as held:
            with processes.together():
                note = held.enter_context(self._notes()) if processes.first else None
            for report in self._reports(stop):
                with processes.together():
                    if note is not None:
                        note(report)
            with processes.together():
                if processes.first:
                    self.save()
        if not processes.first:
            return None
        step, steps = self.trainer.state.step, self.trainer.config.steps
        return TrainingOutcome(self.output / self.WEIGHTS, step, steps, self.scores)

    def save(self) -> None:
        """Write the checkpoint, the averaged weights and their card."""
        self.trainer.state.save(self.output / CHECKPOINT, self.made_from)
        self.export()

    @contextmanager
    def _notes(self) -> Iterator[Callable[[StepReport | FilterReport], None]]:
        """Provide a callback that shows and logs a report, and validates and saves when due."""
        config, state, validate = self.trainer.config, self.trainer.state, self.validator()
        saved = started = clock()
        bar = tqdm(total=config.steps, initial=state.step, unit="step", **_BAR)

        def note(report: StepReport | FilterReport) -> None:
            nonlocal saved
            bar.set_postfix_str(self.SHOWN.format(report), refresh=False)
            bar.update()
            log.add("steps", state.step, {**asdict(report), "seconds": clock() - started})
            if state.step % config.validate_every == 0 or state.step == config.steps:
                with without_time(bar, "validating"):
                    self.scores = validate()
                log.add("validation", state.step, asdict(self.scores))
            if clock() - saved >= 60 * config.checkpoint_minutes:
                with without_time(bar, "saving"):
                    self.save()
                saved = clock()

        with bar, closing(RunLog(self.output, state.step)) as log:
            self.scores = self.SCORES.of(log.last("validation"))
            yield note

    def _reports(self, stop: Event) -> Iterator[StepReport | FilterReport]:
        try:
            yield from self.steps(stop)
        except TrainingError as error:
            with self.processes.together():  # the loss is the same in all processes
                raise TrainingError(f"{error}; {self._remedy()}.") from error

    def _remedy(self) -> str:
        """Return advice for after a non-finite loss, which resuming would only reproduce."""
        start, weights = f"--config {self.output / CONFIG_FILE}", self.output / self.WEIGHTS
        if weights.exists():
            kept, start = "its last checkpoint was kept", f"{start} --init {weights}"
        else:
            kept = "nothing had been saved yet"
        return (
            f"{kept}, so start a run in another --output with {start} and a lower --learning-rate "
            "or a longer --warmup"
        )


def check_folder(output: Path, config: Options, resume: bool) -> None:
    """Check that a run can be started in a folder, or resumed there with these options.

    Raises
    ------
    OutputError
        If the folder is not empty or, on resuming, has no run.
    ConfigError
        If the run in it was started with other values of the `fixed` options.
    """
    saved = output / CONFIG_FILE
    if not resume:
        # A run killed before it began leaves its lock file.
        require_new_folder(output, "continue the run in it with --resume", besides=_LOCK)
        return
    if not os.path.exists(saved):
        raise OutputError(f"There is no run to resume in {output}; start one without --resume.")
    changed = type(config).read(saved).differences(config)
    if changed:
        raise ConfigError(
            f"The run in {output} was started with other values of {', '.join(changed)}; resume "
            "it without them, or start a new run with --init in another folder."
        )


@contextmanager
def only_run(output: Path, config: Options, resume: bool) -> Iterator[None]:
    """Lock the folder against other runs, and check that none has begun since `check_folder`.

    Raises
    ------
    OutputError
        As from `claimed` and `check_folder`.
    """
    busy = f"Another run is at work in {output}; wait for it or give another --output."
    with claimed(output / _LOCK, busy):
        check_folder(output, config, resume)
        yield


def write_config(output: Path, config: Options) -> None:
    """Write the options, which `check_folder` compares when the run is resumed."""
    with replacing(output / CONFIG_FILE) as aside:
        aside.write_text(config.to_json() + "\n", encoding="utf-8")


def progress(what: str, shown: bool = True) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Return a wrapper of an iteration that shows its progress."""
    return partial(tqdm, desc=what, disable=not shown, **_BAR)


@contextmanager
def without_time(bar: tqdm[Any], what: str) -> Iterator[None]:
    """Show on the bar what is done between steps, and exclude its time from the step rate."""
    bar.set_description(what)
    began = clock()
    try:
        yield
    finally:
        spent = clock() - began
        bar.start_t += spent
        bar.last_print_t += spent
        bar.set_description("", refresh=False)


def _stopping_signals() -> list[signal.Signals]:
    """Return Ctrl-C, that of batch systems, and that of a lost connection unless it is ignored."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    # Windows has no SIGHUP; nohup ignores it.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


@contextmanager
def stop_wish() -> Iterator[Event]:
    """Provide an event that SIGINT, SIGTERM and SIGHUP set, to stop after the current step."""
    stop = Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in _stopping_signals()
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
