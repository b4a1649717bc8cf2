"""The strip of the dock that shows one message at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_alibi_seg.gui.words import BREAK, breakable

if TYPE_CHECKING:
    from collections.abc import Callable


def _always() -> bool:
    return True


@dataclass(frozen=True, eq=False)
class _Message:
    """What the strip shows, or will show; as for `Strip.say`."""

    words: str = ""
    actions: tuple[tuple[str, Callable[[], None]], ...] = ()
    warn: bool = False
    holds: Callable[[], bool] = _always
    report: bool = False

    def repeats(self, other: _Message) -> bool:
        """Whether it is the same kind of report or question as another message."""
        if self.report or other.report:
            return self.report and other.report
        mine, theirs = ([words for words, _ in one.actions] for one in (self, other))
        return bool(mine) and mine == theirs


class Strip(QFrame):
    """A message with buttons for what to do about it; hidden without a message."""

    def __init__(self) -> None:
        super().__init__()
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        self._words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.buttons: list[QPushButton] = []
        self._message = _Message()
        self._waiting: list[_Message] = []
        self._row = QHBoxLayout()
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.addWidget(self._words)
        column.addLayout(self._row)
        self.setObjectName("strip")
        self.hide()

    @property
    def words(self) -> str:
        """The message; empty if hidden."""
        return "" if self.isHidden() else self._words.text().replace(BREAK, "")

    @property
    def asks(self) -> bool:
        """Whether there is a button other than Dismiss."""
        return not self.isHidden() and len(self.buttons) > 1

    def say(
        self,
        words: str,
        *actions: tuple[str, Callable[[], None]],
        warn: bool = False,
        holds: Callable[[], bool] | None = None,
        waits: bool = False,
        report: bool = False,
    ) -> None:
        """Show a message, at once or when its turn comes.

        A question that another message replaces is shown again afterwards, unless that asks for
        the same answers.

        Parameters
        ----------
        words : str
            The message.
        *actions : tuple of str and callable
            Text of a button, and what it does; clicking it hides the message.
        warn : bool
            Whether it is a warning.
        holds : callable, optional
            Whether it is still true; if not, `review` hides it.
        waits : bool
            Whether it waits while the strip `asks`; it is then shown if it still holds.
        report : bool
            Whether it is a report of progress; it waits in the same way, but replaces an earlier
            report. One with a button that another message replaces is shown again afterwards.
        """
        message = _Message(words, actions, warn, holds or _always, report)
        again = message.repeats(self._message)
        if self.asks and (waits or (report and not again)):
            self._let_wait(message)
            return
        if self.asks and not again:
            self._let_wait(self._message)
        self._waiting = [one for one in self._waiting if not message.repeats(one)]
        self._show(message)

    def review(self) -> None:
        """Hide a message that no longer holds."""
        if not self._message.holds():
            self._make_way()

    def go_on(self) -> None:
        """Hide a mere report, without a condition, warning or question, once it has been read."""
        if self._message.holds is _always and not (self._message.warn or self.asks):
            self._make_way()

    def put_away(self) -> None:
        """Hide the message, and forget it and those that wait."""
        self._waiting.clear()
        self._make_way()

    def _let_wait(self, message: _Message) -> None:
        """Keep a message for later; the last report comes before all others."""
        if message.report:
            others = [one for one in self._waiting if not one.report]
            self._waiting = [message, *others]
        else:
            self._waiting.append(message)

    def _make_way(self) -> None:
        """Hide the message, and show the next one that holds."""
        self.hide()
        self._clear()
        self._message = _Message()
        while self._waiting and self.isHidden():
            message = self._waiting.pop(0)
            if message.holds():
                self._show(message)

    def _show(self, message: _Message) -> None:
        self._clear()
        self._message = message
        edge = "#d55e00" if message.warn else "#0072b2"
        self.setStyleSheet(f"#strip {{ border-left: 3px solid {edge}; }}")
        self._words.setText(breakable(message.words))
        for text, act in (*message.actions, ("Dismiss", lambda: None)):
            button = QPushButton(text)
            button.clicked.connect(self._make_way)
            button.clicked.connect(lambda _=False, act=act: act())
            self._row.addWidget(button)
            self.buttons.append(button)
        self.show()

    def _clear(self) -> None:
        for button in self.buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
