"""A distillation run, from the first checks to the model card: folder, checkpoints, logs."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic as clock
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from napari_alibi_seg.core.errors import ModelError, OutputError
from napari_alibi_seg.core.model.checkpoints import load_backbone
from napari_alibi_seg.core.writing import claimed, replacing, require_new_folder
from napari_alibi_seg.finetune.card import make_card, write_card
from napari_alibi_seg.finetune.crops import Crops
from napari_alibi_seg.finetune.data import Corpus, read_corpus
from napari_alibi_seg.finetune.logs import RunLog
from napari_alibi_seg.finetune.optimisation import TrainingError
from napari_alibi_seg.finetune.options import CONFIG_FILE, ConfigError
from napari_alibi_seg.finetune.processes import LeftError, joined_processes
from napari_alibi_seg.finetune.state import export, start
from napari_alibi_seg.finetune.targets import Imitated, TargetTable, make_table
from napari_alibi_seg.finetune.training import Trainer
from napari_alibi_seg.finetune.validation import Scores, Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from napari_alibi_seg.core.model.backbone import Backbone, BackboneIdentity
    from napari_alibi_seg.finetune.config import FinetuneConfig
    from napari_alibi_seg.finetune.filter_config import FilterConfig
    from napari_alibi_seg.finetune.filter_training import FilterReport, FilterState
    from napari_alibi_seg.finetune.filter_validation import FilterScores
    from napari_alibi_seg.finetune.options import Options
    from napari_alibi_seg.finetune.state import State
    from napari_alibi_seg.finetune.training import StepReport

LOG = logging.getLogger(__name__)

CHECKPOINT, STUDENT = "checkpoint.safetensors", "student.safetensors"
_TARGETS, _LOCK = "targets.safetensors", ".lock"
BAR: dict[str, Any] = {
    "mininterval": 0.5 if sys.stderr.isatty() else 60.0,
    "dynamic_ncols": True,
}


@dataclass(frozen=True)
class TrainingOutcome:
    """Result of a run that is complete or was interrupted.

    Attributes
    ----------
    made : Path
        The exported weights.
    step, steps : int
        Steps taken, and steps of the whole schedule.
    scores : Scores, FilterScores or None
        Latest validation; None if there was none yet.
    """

    made: Path
    step: int
    steps: int
    scores: Scores | FilterScores | None


def finetune(config: FinetuneConfig, output: Path, resume: bool) -> TrainingOutcome | None:
    """Distil a student in a folder, from the start or from the last checkpoint.

    Parameters
    ----------
    config : FinetuneConfig
        All options; `images` must not be empty.
    output : Path
        Receives ``config.json``, ``student.safetensors`` (float16, usable as a model by its
        path), ``checkpoint.safetensors`` (to resume), ``card.json``, ``card.md`` and the logs.
    resume : bool
        Continue the run in `output`; otherwise the folder must be new or empty.

    Returns
    -------
    TrainingOutcome or None
        None in the processes of torchrun that have nothing to report: all but the first or, after
        a failure, all but the one that raises the error.

    Raises
    ------
    AlibiSegError
        A subclass for images, model, config, output, device or a loss that is not finite.
    """
    try:
        return _run(config, output, resume)
    except LeftError:
        return None


def _run(config: FinetuneConfig, output: Path, resume: bool) -> TrainingOutcome | None:
    with joined_processes(config.device) as processes, ExitStack() as held:
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        with processes.together():
            if processes.first:
                check_folder(output, config, resume)
        with processes.together():
            teacher, identity = _teacher(config, processes.device)
            files = partial(tqdm, desc="images", disable=not processes.first, **BAR)
            corpus = read_corpus([Path(image) for image in config.images], config, files)
            state = start(config, teacher, identity)
            if processes.first:
                held.enter_context(only_run(output))
        with processes.together():
            if (output / CHECKPOINT).exists():
                state.load(output / CHECKPOINT, corpus.digest())
        crops = Crops(corpus, corpus.training, config)
        imitated = Imitated(teacher, config.inner_blocks)
        with processes.together():
            if processes.first:
                _prepare(output, imitated, crops, begun=state.step > 0)
        table = TargetTable.load(output / _TARGETS).to(processes.device)
        trainer = Trainer(config, processes, imitated, table, crops, state)
        return Session(output, trainer, corpus, identity).run()


class Session:
    """Runs a trainer and writes its logs, checkpoints, student and model card.

    Parameters
    ----------
    output : Path
        The run's folder.
    trainer : Trainer
        Trainer with its initial or restored state.
    corpus : Corpus
        Training and validation pictures.
    identity : BackboneIdentity
        Identity of the teacher.
    """

    def __init__(
        self, output: Path, trainer: Trainer, corpus: Corpus, identity: BackboneIdentity
    ) -> None:
        self._output = output
        self._trainer = trainer
        self._corpus = corpus
        self._identity = identity
        self._scores: Scores | None = None

    def run(self) -> TrainingOutcome | None:
        """Train until the schedule is complete or a signal asks to stop; write all files.

        Returns
        -------
        TrainingOutcome or None
            None in all processes but the first.
        """
        processes, state = self._trainer.processes, self._trainer.state
        with stop_wish() as stop, ExitStack() as held:
            with processes.together():
                note = held.enter_context(self._notes()) if processes.first else None
            for report in self._steps(stop):
                with processes.together():
                    if note is not None:
                        note(report)
                if report.stop:
                    break
            with processes.together():
                if processes.first:
                    self.save()
        if not processes.first:
            return None
        steps = self._trainer.config.steps
        return TrainingOutcome(self._output / STUDENT, state.step, steps, self._scores)

    def save(self) -> None:
        """Write the checkpoint, the averaged student and its card."""
        state, config = self._trainer.state, self._trainer.config
        state.save(self._output / CHECKPOINT, self._corpus.digest())
        header = {"teacher": self._identity.weights, "licence": config.licence}
        export(state, self._identity.architecture, self._output / STUDENT, header)
        card = make_card(
            config, state, self._identity, self._corpus, self._scores, self._output / STUDENT
        )
        write_card(self._output, card)

    @contextmanager
    def _notes(self) -> Iterator[Callable[[StepReport], None]]:
        config, state = self._trainer.config, self._trainer.state
        held_out = Crops(self._corpus, self._corpus.validation, config, augmented=False)
        teacher = self._trainer.teacher.backbone
        table = self._trainer.table.of_last(teacher.channels)
        validation = Validation(teacher, table, held_out)

        def validate() -> Scores:
            self._scores = validation.score(state.mean)
            return self._scores

        shown = "loss={0.loss:.4f}"
        with notes(self._output, config, state, validate, self.save, shown) as (note, last):
            self._scores = Scores.of(last)
            yield note

    def _steps(self, stop: Event) -> Iterator[StepReport]:
        try:
            yield from self._trainer.steps(stop)
        except TrainingError as error:
            with self._trainer.processes.together():  # the loss is the same in all processes
                raise TrainingError(f"{error}; {self._remedy()}.") from error

    def _remedy(self) -> str:
        """Return advice for after a non-finite loss, which resuming would only reproduce."""
        start, student = f"--config {self._output / CONFIG_FILE}", self._output / STUDENT
        if student.exists():
            kept, start = "its last checkpoint was kept", f"{start} --init {student}"
        else:
            kept = "nothing had been saved yet"
        return (
            f"{kept}, so start a run in another --output with {start} and a lower --learning-rate "
            "or a longer --warmup"
        )


@contextmanager
def notes(
    output: Path,
    config: FinetuneConfig | FilterConfig,
    state: State | FilterState,
    validate: Callable[[], Scores | FilterScores],
    save: Callable[[], None],
    shown: str,
) -> Iterator[tuple[Callable[[StepReport | FilterReport], None], Mapping[str, float]]]:
    """Provide a callback for every step's report, and the figures of the last validation.

    The callback shows and logs the report, and validates and saves when due. `shown` is the
    format string for the progress bar, applied to the report.
    """
    saved = started = clock()
    bar = tqdm(total=config.steps, initial=state.step, unit="step", **BAR)

    def note(report: StepReport | FilterReport) -> None:
        nonlocal saved
        bar.set_postfix_str(shown.format(report), refresh=False)
        bar.update()
        log.add("steps", state.step, {**asdict(report), "seconds": clock() - started})
        if state.step % config.validate_every == 0 or state.step == config.steps:
            with without_time(bar, "validating"):
                scores = validate()
            log.add("validation", state.step, asdict(scores))
        if clock() - saved >= 60 * config.checkpoint_minutes:
            with without_time(bar, "saving"):
                save()
            saved = clock()

    with bar, closing(RunLog(output, state.step)) as log:
        yield note, log.last("validation")


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
        require_new_folder(output, "continue the run in it with --resume")
        return
    if not os.path.exists(saved):
        raise OutputError(f"There is no run to resume in {output}; start one without --resume.")
    changed = type(config).read(saved).differences(config)
    if changed:
        raise ConfigError(
            f"The run in {output} was started with other values of {', '.join(changed)}; resume "
            "it without them, or start a new run with --init in another folder."
        )


def _teacher(config: FinetuneConfig, device: torch.device) -> tuple[Backbone, BackboneIdentity]:
    teacher, identity = load_backbone(config.teacher)
    odd = [size for size in config.crop_sizes if size % teacher.patch_size or size <= 0]
    if odd:
        raise ConfigError(
            f"Crop sizes must be multiples of the teacher's patches of {teacher.patch_size} px, "
            f"but {', '.join(map(str, odd))} are not; change --crop-sizes."
        )
    if any(not 0 < block < teacher.depth for block in config.inner_blocks):
        raise ConfigError(
            f"Inner blocks must be from 1 to {teacher.depth - 1}, as the teacher's last block is "
            f"{teacher.depth}; change --inner-blocks."
        )
    if teacher.geometry is not None:
        raise ModelError(
            f"The teacher {config.teacher} already is an ALiBi model; give a stock one as "
            "timm:<id> or timm:<id>:<file>, and this one as --init."
        )
    return teacher.to(device), identity


def only_run(output: Path) -> AbstractContextManager[object]:
    """Lock the folder against other runs; see `claimed`."""
    busy = f"Another run is at work in {output}; wait for it or give another --output."
    return claimed(output / _LOCK, busy)


def _prepare(output: Path, teacher: Imitated, crops: Crops, begun: bool) -> None:
    with replacing(output / CONFIG_FILE) as aside:
        aside.write_text(crops.config.to_json() + "\n", encoding="utf-8")
    path = output / _TARGETS
    if not begun or not path.exists():  # without a checkpoint, a table may stem from other images
        LOG.info("finding out what position adds to the teacher's tokens")
        make_table(teacher, crops, crops.config).save(path)


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
