"""What the window knows, in plain records; importing this imports neither Qt nor torch."""

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

    from napari_alibi_seg.core.live.records import LiveRequest
    from napari_alibi_seg.core.runs.project import ImageFile, Project


@dataclass(frozen=True)
class PaintClass(ClassInfo):
    """A class as the person paints it.

    Attributes
    ----------
    ignored : bool
        Whether its pixels count nowhere (databar, cracks, holder).
    """

    ignored: bool = False

    @classmethod
    def from_core(cls, info: ClassInfo, ignored: bool = False) -> PaintClass:
        """Return a class of the core as it is painted."""
        return cls(info.value, info.name, info.colour, ignored)

    def info(self) -> ClassInfo:
        """Return the class as the core knows it."""
        return ClassInfo(self.value, self.name, self.colour)


def as_core(classes: Sequence[PaintClass]) -> tuple[tuple[ClassInfo, ...], frozenset[int]]:
    """Return classes as the core knows them, and the values of those that are ignored."""
    ignored = frozenset(known.value for known in classes if known.ignored)
    return tuple(known.info() for known in classes), ignored


class Shown(Enum):
    """How what is on the screen stands to what is painted.

    ``FINAL`` is its result, or is about to become it; ``PRELIMINARY`` lacks the features;
    ``OUTLIVED`` is by the settings before, until there are features for those of now; ``WAITING``
    is no result of it until the person asks for one.
    """

    FINAL = auto()
    PRELIMINARY = auto()
    OUTLIVED = auto()
    WAITING = auto()


@dataclass(frozen=True)
class Settings:
    """What a person can set about training.

    Attributes
    ----------
    config : SegmentationConfig
        What to train with.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    threads : int
        Processor threads for deep features; 0 leaves the choice to torch.
    """

    config: SegmentationConfig = field(default_factory=SegmentationConfig)
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Recipe:
    """What belongs to painted pixels beside them; it stays with their layer.

    Attributes
    ----------
    classes : tuple of PaintClass
        Names and colours.
    config : SegmentationConfig
        How to train.
    axes : str
        How the image layer's dimensions are read.
    channel : int or None
        Which channel of the layer is taken as grey.
    file : ImageFile or None
        Where the layer came from.
    """

    classes: tuple[PaintClass, ...]
    config: SegmentationConfig
    axes: str
    channel: int | None = None
    file: ImageFile | None = None


@dataclass(frozen=True, eq=False)
class Order:
    """What is asked of an engine, and what belongs to the session file beside it.

    Attributes
    ----------
    request : LiveRequest
        What should be on the screen.
    device, threads
        As in `Settings`.
    touched : bool
        Whether the person has painted, so that the session is worth keeping.
    owner : str
        Token of what is painted; a session of another is never overwritten.
    kept : Event
        Set once the session is saved.
    """

    request: LiveRequest
    device: str = "auto"
    threads: int = 0
    touched: bool = False
    owner: str = ""
    kept: Event = field(default_factory=Event)


@dataclass(frozen=True)
class SessionFound:
    """There are scribbles of an earlier session on this image.

    Attributes
    ----------
    path : Path
        The session file.
    project : Project
        What it holds.
    saved : str
        Local date and time.
    """

    path: Path
    project: Project
    saved: str


@dataclass(frozen=True)
class SessionProblem:
    """A session file cannot be read or written.

    Attributes
    ----------
    words : str
        What the person should know.
    """

    words: str
