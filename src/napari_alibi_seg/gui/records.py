"""What the window knows, in plain records; importing this imports neither Qt nor torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from threading import Event
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.choices import (
    CLASSICAL,
    COMPONENTS,
    DEFAULT_MODEL,
    SIGMAS_3D,
    SMOOTHING,
    TREES,
    Forest,
)
from napari_alibi_seg.core.classes import ClassInfo

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.images import Micrograph
    from napari_alibi_seg.core.live_records import Index, LiveRequest, Painted
    from napari_alibi_seg.core.planes import Window
    from napari_alibi_seg.core.project import ImageFile, Project


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
    model : str
        Name or path of a backbone, or ``classical``.
    scale : int or None
        Magnification, 1 to 4; None chooses by the size of the image.
    components : int
        Principal components of the deep features.
    filters : bool
        Whether pixels also have classical channels.
    filters_3d : bool
        Whether these also look through the planes of a volume.
    learned : bool
        Whether there are learned filters beside them, where there is a backbone.
    trees, seed : int
        Of the forest.
    forest : Forest
        How its trees are grown.
    smoothing : int
        Radius, in pixels, of the filter that smooths the votes; 0 for none.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    threads : int
        Processor threads for deep features; 0 leaves the choice to torch.
    """

    model: str = DEFAULT_MODEL
    scale: int | None = None
    components: int = COMPONENTS
    filters: bool = True
    filters_3d: bool = False
    learned: bool = True
    trees: int = TREES
    seed: int = 0
    forest: Forest = Forest.EXTRA_TREES
    smoothing: int = SMOOTHING
    device: str = "auto"
    threads: int = 0

    def config(self) -> SegmentationConfig:
        """Return the settings as the core knows them."""
        from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig

        channels = ChannelConfig(self.components)
        if self.filters_3d:
            channels = replace(channels, sigmas_3d=SIGMAS_3D)
        if not self.learned:
            channels = replace(channels, learned=0)
        if not (self.filters or self.model == CLASSICAL):  # pixels need at least one channel
            channels = ChannelConfig(self.components, sigmas=())
        return SegmentationConfig(
            self.model,
            self.scale,
            channels,
            self.trees,
            self.seed,
            self.forest,
            self.smoothing,
        )

    def trained_as(self, config: SegmentationConfig) -> Settings:
        """Return what trains as the core's settings say, on the same device."""
        return replace(
            self,
            model=config.model,
            scale=config.scale,
            components=config.channels.components,
            filters=bool(config.channels.sigmas),
            filters_3d=bool(config.channels.sigmas_3d),
            learned=bool(config.channels.learned) or config.model == CLASSICAL,
            trees=config.trees,
            seed=config.seed,
            forest=config.forest,
            smoothing=config.smoothing,
        )


@dataclass(frozen=True)
class Recipe:
    """What belongs to painted pixels beside them; it stays with their layer.

    Attributes
    ----------
    classes : tuple of PaintClass
        Names and colours.
    settings : Settings
        How to train.
    axes : str
        How the image layer's dimensions are read.
    channel : int or None
        Which channel of the layer is taken as grey.
    file : ImageFile or None
        Where the layer came from.
    """

    classes: tuple[PaintClass, ...]
    settings: Settings
    axes: str
    channel: int | None = None
    file: ImageFile | None = None


@dataclass(frozen=True, eq=False)
class Order:
    """Everything the engine needs to bring the screen up to date; see `LiveRequest`.

    Attributes
    ----------
    touched : bool
        Whether the person has painted, so that the session is worth keeping.
    owner : str
        Token of what is painted; a session of another is never overwritten.
    kept : Event
        Set once the session is saved.
    """

    image: Micrograph
    scribbles: NDArray[np.integer[Any]]
    settings: Settings
    planes: tuple[Index, ...]
    visible: Window
    classes: tuple[PaintClass, ...]
    classifier: PixelClassifier | None = None
    predict: bool = True
    votes: bool = False
    generation: int = 0
    touched: bool = False
    owner: str = ""
    kept: Event = field(default_factory=Event)

    @property
    def ignored(self) -> frozenset[int]:
        """Painted values that count nowhere."""
        return frozenset(known.value for known in self.classes if known.ignored)

    def painted(self) -> Painted:
        """Return how much is painted; imports no torch."""
        from napari_alibi_seg.core.images import planes_of
        from napari_alibi_seg.core.strokes import look_at_strokes

        return look_at_strokes(planes_of(self.image), self.scribbles, self.ignored)[1]

    def request(self) -> LiveRequest:
        """Return the order as the engine understands it; imports scikit-learn."""
        from napari_alibi_seg.core.live_records import LiveRequest

        return LiveRequest(
            self.image,
            self.scribbles,
            self.settings.config(),
            self.planes,
            self.visible,
            tuple(known.info() for known in self.classes if not known.ignored),
            self.ignored,
            self.classifier,
            self.predict,
            self.votes,
            self.generation,
            advise=True,
        )


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
