"""Run one action at a time in a thread, and report its progress in the strip."""

from __future__ import annotations

from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject
from superqt.utils import create_worker

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.gui.bridge import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from superqt.utils import GeneratorWorker

    from napari_alibi_seg.gui.strip import Strip


class Background(QObject):
    """Run slow actions in a thread, and report their progress in the strip.

    Parameters
    ----------
    strip : Strip
        Shows the messages.
    parent : QObject
        Owner.
    """

    def __init__(self, strip: Strip, parent: QObject) -> None:
        super().__init__(parent)
        self._strip = strip
        self.stopped = Event()  # by the user; what is started as `long` heeds it and ends
        self._worker: GeneratorWorker[Any, Any, Any] | None = None
        self._receive: Callable[[Any], None] | None = None
        self._words = ""
        self._next: Callable[[], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether an action is running."""
        return self._worker is not None

    def start(
        self,
        work: Callable[..., Any],
        *arguments: object,
        receive: Callable[[Any], None] | None = None,
        long: bool = False,
    ) -> None:
        """Start an action, unless another one is still running.

        Parameters
        ----------
        work : callable
            Takes the arguments and returns a generator.
        *arguments
            Arguments of `work`.
        receive : callable, optional
            Receives what is yielded; without it, that is text for the strip.
        long : bool
            Whether the user can stop it and is notified at the end.
        """
        if self._worker is not None:
            words = "Please wait until the previous action has finished."
            self._strip.say(words, holds=lambda: self.busy)
            return
        self._worker = create_worker(
            _finishing, work, *arguments, _start_thread=False, _ignore_errors=True
        )
        self.stopped.clear()
        self._receive = receive or partial(self._tell, long)
        self._worker.yielded.connect(self._hear)
        self._worker.errored.connect(self._fail)
        self._worker.finished.connect(self._finish)
        if long:
            self._worker.returned.connect(self._announce)
        self._worker.start()

    def then(self, act: Callable[[], None]) -> None:
        """Call `act` as soon as the running action has finished."""
        self._next = act

    def release(self) -> None:
        """Stop the running action, and ignore anything it still yields."""
        self.stopped.set()
        self._receive = self._next = None
        if self._worker is not None:
            self._worker.quit()

    def _hear(self, news: Any) -> None:
        if self._receive is not None:
            self._receive(news)

    def _tell(self, long: bool, words: str) -> None:
        self._words = words
        if long:
            stop = "Stop", self.stopped.set
            self._strip.say(words, stop, holds=lambda: self.busy, report=True)
        else:
            self._strip.say(words)  # the user has just asked for it

    def _fail(self, error: Exception) -> None:
        self._strip.say(explained(error), warn=True)

    def _finish(self, _: None = None) -> None:
        self._worker = self._receive = None
        self._strip.review()
        go, self._next = self._next, None
        if go is not None:
            go()

    def _announce(self, _: None = None) -> None:
        self._strip.say(self._words, report=True)  # without the Stop button
        show_info(self._words.partition("\n")[0])


def _finishing(
    work: Callable[..., Iterator[Any]], *arguments: object
) -> Generator[Any, None, None]:
    """Run the work, converting errors so that its worker always finishes."""
    try:
        yield from work(*arguments)
    except RuntimeError as error:  # superqt takes it for a deleted worker and never finishes
        raise AlibiSegError(explained(error)) from error
