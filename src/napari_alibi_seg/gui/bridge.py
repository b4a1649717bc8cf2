"""The bridge between the window and the engine: one order at a time, the newest wins."""

from __future__ import annotations

import gc
from contextlib import closing
from functools import cache
from threading import Event
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from superqt.utils import create_worker

from napari_alibi_seg.core.errors import AlibiSegError, disk_failure, shortage
from napari_alibi_seg.core.forest.scribbles import training_scribbles_and_counts
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.gui.records import SessionProblem
from napari_alibi_seg.gui.sessions import keep_session
from napari_alibi_seg.gui.torch_import import Stage, importing, is_imported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_alibi_seg.core.live.engine import LiveEngine
    from napari_alibi_seg.core.live.records import LiveEvent
    from napari_alibi_seg.gui.records import Order, SessionFound

_NO_MEMORY = (
    "There is not enough memory for this image. Your scribbles are kept: close other images or "
    "programs, then keep painting or try again."
)


class Bridge(QObject):
    """Run orders in a thread and forward their events on the main thread.

    A superseded order stops at its next event. One it has sent by then is forwarded only if
    nothing but the view, names and colours is known to have changed; after an undo, which layers
    do not tell apart from a change of view, the next order replaces what it shows.
    """

    reported = Signal(object)
    failed = Signal(str)
    keeping_failed = Signal(str)
    """The strokes on an image that was left could not be kept; with the reason."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._engines: dict[str, LiveEngine] = {}
        self._waiting: Order | None = None
        self._left: list[Order] = []
        self._running: _Run | None = None
        self._generation = -1
        self._heard = False
        self._left_alone = False

    @property
    def busy(self) -> bool:
        """Whether an order is running or waiting."""
        return self._running is not None

    def ask(self, order: Order) -> None:
        """Run an order once the running one has stopped; it replaces a waiting one."""
        self._generation = order.request.generation
        self._left_alone = False
        self._waiting = order
        self.interrupt()
        if self._running is None:
            self._start()

    def keep(self, order: Order) -> None:
        """Only save the session of an order, and compute nothing for it."""
        self._left.append(order)
        if self._running is None:
            self._start()

    def keep_now(self, last: Order | None) -> list[SessionProblem]:
        """Save what session files lack at once, as the process may be about to end.

        Parameters
        ----------
        last : Order or None
            That of the open image, if its session file lacks something.

        Returns
        -------
        list of SessionProblem
            Why sessions could not be saved.
        """
        saving = [] if self._running is None else self._running.left
        unsaved = [order for order in (*saving, *self._left) if not order.kept.is_set()]
        found = map(keep_session, unsaved if last is None else [*unsaved, last])
        return [problem for problem in found if isinstance(problem, SessionProblem)]

    def outdate(self, generation: int) -> None:
        """Forward no events of older generations; an order of this one will follow."""
        self._generation = generation
        self.interrupt()

    def interrupt(self) -> None:
        """Stop the running order; another one will follow."""
        if self._running is not None:
            self._running.stopped.set()

    def stop(self) -> None:
        """Stop the running order, drop the waiting one, and forward nothing more."""
        self._generation = -1
        self._waiting = None
        self.interrupt()

    def let_go(self) -> None:
        """Free what was computed of the image as soon as nothing runs, unless an order comes."""
        self._left_alone = True
        if self._running is None:
            self._start()

    def release(self) -> None:
        """Stop, and free everything that was computed."""
        self.stop()
        self._engines = {}
        gc.unfreeze()

    def _start(self) -> None:
        order, self._waiting = self._waiting, None
        left, self._left = self._left, []
        if order is None and not left:
            for engine in self._engines.values() if self._left_alone else ():
                engine.close()
            return
        self._running = _Run(order, left)
        worker = create_worker(
            _serve, self._engines, self._running, _start_thread=False, _ignore_errors=True
        )
        worker.yielded.connect(self._hand_on)
        worker.errored.connect(self._fail)
        worker.finished.connect(self._finish)
        worker.start()

    def _hand_on(
        self, report: tuple[int | None, LiveEvent | SessionFound | SessionProblem]
    ) -> None:
        generation, event = report
        if generation is None:
            assert isinstance(event, SessionProblem)
            self.keeping_failed.emit(event.words)
        elif generation == self._generation:
            self._spare_collector()
            self.reported.emit(event)

    def _spare_collector(self) -> None:
        """Exclude all objects that exist now from garbage collection, which would block the window.

        `Watch` includes them again when a layer is removed, `release` when all work is dropped.
        """
        if not self._heard and is_imported(Stage.COMPUTING):
            self._heard = True
            gc.freeze()

    def _fail(self, error: Exception) -> None:
        order = self._running.order if self._running is not None else None
        if order is not None and order.request.generation == self._generation:
            self.failed.emit(explained(error))

    def _finish(self, _: None = None) -> None:
        self._running = None
        self._start()


class _Run:
    """A running order, the sessions to save before it, and the flag that stops it."""

    def __init__(self, order: Order | None, left: list[Order]) -> None:
        self.order = order
        self.left = left
        self.stopped = Event()


def _serve(
    engines: dict[str, LiveEngine], run: _Run
) -> Iterator[tuple[int | None, LiveEvent | SessionFound | SessionProblem]]:
    """Count the strokes, save the session, then run the engine; called in a thread.

    Yields
    ------
    tuple of int or None and event
        The generation of the order, or None for an image that was left; and the event.
    """
    order = run.order
    try:
        for problem in map(keep_session, run.left):
            if isinstance(problem, SessionProblem):
                yield None, problem
        if order is None:
            return
        request = order.request
        if not is_imported(Stage.COMPUTING):
            for _ in importing(Stage.COUNTING):
                if run.stopped.is_set():
                    return
            planes = planes_of(request.image)
            _, counts = training_scribbles_and_counts(planes, request.scribbles, request.ignored)
            yield request.generation, counts
        found = keep_session(order)
        if found is not None:
            yield request.generation, found
        for _ in importing(Stage.COMPUTING):
            if run.stopped.is_set():
                return
        _use_threads(order.threads)
        engine = _engine(engines, order.device)
        with closing(engine.update(request)) as events:
            for event in events:
                if run.stopped.is_set():
                    return
                yield request.generation, event
    except MemoryError as error:
        raise AlibiSegError(_NO_MEMORY) from error
    except RuntimeError as error:  # superqt takes one for a deleted worker and never finishes
        raise AlibiSegError(explained(error)) from error


def _use_threads(count: int) -> None:
    """Set the number of threads of torch; 0 restores its own choice."""
    import torch

    usual = _usual_threads()  # cached before the first change
    torch.set_num_threads(count or usual)


@cache
def _usual_threads() -> int:
    import torch

    return torch.get_num_threads()


def _engine(engines: dict[str, LiveEngine], device: str) -> LiveEngine:
    """Return the engine of a device, and drop the engine of any other device."""
    from napari_alibi_seg.core.live.engine import LiveEngine

    if device not in engines:
        engines.clear()
        engines[device] = LiveEngine(device)
    return engines[device]


def explained(error: Exception) -> str:
    """Return what to say about an error, which may be unforeseen."""
    known = error if isinstance(error, AlibiSegError) else shortage(error)
    if known is not None:
        return str(known)
    if isinstance(error, OSError):
        return f"{disk_failure(error)} Your scribbles are kept."
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return (
        f"Something unexpected happened ({type(error).__name__}: {reason}). Your scribbles are "
        "kept: keep painting or try again, and please report this if it happens again."
    )
