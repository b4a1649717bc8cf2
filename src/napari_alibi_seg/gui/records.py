"""Define plain records of the window's state; imports neither Qt nor torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Event
from typing import TYPE_CHECKING

from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import SegmentationConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_alibi_seg.core.images.micrograph import ImageFile, Micrograph
    from napari_alibi_seg.core.live.records import LiveRequest
    from napari_alibi_seg.core.runs.project import Project


@dataclass(frozen=True)
class PaintClass(ClassInfo):
    """A class as shown in the window.

    Attributes
    ----------
    ignored : bool
        Whether its pixels are left out everywhere (databar, cracks, holder).
    """

    ignored: bool = False

    @classmethod
    def from_core(cls, info: ClassInfo, ignored: bool = False) -> PaintClass:
        """Return a class of the core as a class of the window."""
        return cls(info.value, info.name, info.colour, ignored)

    def to_core(self) -> ClassInfo:
        """Return the class as the core knows it."""
        return ClassInfo(self.value, self.name, self.colour)


def as_core(classes: Sequence[PaintClass]) -> tuple[tuple[ClassInfo, ...], frozenset[int]]:
    """Return classes as the core knows them, and the values of the ignored ones."""
    ignored = frozenset(info.value for info in classes if info.ignored)
    return tuple(info.to_core() for info in classes), ignored


class ResultState(Enum):
    """How the result on the screen relates to the strokes.

    ``FINAL`` is their result, or about to be; ``PRELIMINARY`` still lacks deep features;
    ``OUTLIVED`` is of previous settings or strokes, until the features are ready;
    ``WAITING`` means there is no result of the strokes until the user asks for one.
    """

    FINAL = auto()
    PRELIMINARY = auto()
    OUTLIVED = auto()
    WAITING = auto()


@dataclass(frozen=True)
class Settings:
    """The settings for training.

    Attributes
    ----------
    config : SegmentationConfig
        Training configuration.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    threads : int
        Processor threads for deep features; 0 lets torch choose.
    """

    config: SegmentationConfig = field(default_factory=SegmentationConfig)
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Recipe:
    """What is needed to use painted pixels; kept in the metadata of their layer.

    Attributes
    ----------
    classes : tuple of PaintClass
        Names and colours.
    config : SegmentationConfig
        Training configuration.
    axes : str
        How the image layer's dimensions are read; empty if unknown.
    channels : tuple of int or None
        Channels of the layer in use.
    file : ImageFile or None
        Where the layer came from.
    applied : SegmentationConfig or None
        The configuration of what is shown, as in `Order.request`; None if unknown.
    """

    classes: tuple[PaintClass, ...]
    config: SegmentationConfig
    axes: str = ""
    channels: tuple[int, ...] | None = None
    file: ImageFile | None = None
    applied: SegmentationConfig | None = None


@dataclass(frozen=True, eq=False)
class Order:
    """A request to an engine, with what is needed to save the session.

    Attributes
    ----------
    request : LiveRequest
        What should be on the screen.
    config : SegmentationConfig
        As the user chose it; that of the request has no deep features while these are stopped.
    image : Micrograph
        That of the request, with the pixel size and spacing that the layer has now.
    device, threads
        As in `Settings`.
    touched : bool
        Whether the user has painted, so that the session is worth saving.
    owner : str
        Token of the strokes; a session with another token is never overwritten.
    classes : tuple of PaintClass
        Those of the strokes; those of the request may be of a loaded classifier.
    kept : Event
        Set once the session is saved.
    """

    request: LiveRequest
    config: SegmentationConfig
    image: Micrograph
    device: str = "auto"
    threads: int = 0
    touched: bool = False
    owner: str = ""
    classes: tuple[PaintClass, ...] = ()
    kept: Event = field(default_factory=Event)


@dataclass(frozen=True)
class SessionFound:
    """Scribbles of an earlier session were found for this image.

    Attributes
    ----------
    path : Path
        The session file.
    project : Project
        Its contents.
    saved : str
        Local date and time.
    """

    path: Path
    project: Project
    saved: str


@dataclass(frozen=True)
class SessionProblem:
    """A session file could not be read or written.

    Attributes
    ----------
    words : str
        Message for the user.
    """

    words: str
