"""What a window asks of the live engine, and what it is told; importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_alibi_seg.core.forest.strokes import Painted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier, Segmentation
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.planes import Index, Window
    from napari_alibi_seg.core.judging.assessment import Assessment
    from napari_alibi_seg.core.judging.suggestions import Spot


@dataclass(frozen=True, eq=False)
class LiveRequest:
    """What should be on the screen.

    Attributes
    ----------
    image : Micrograph
        The image; another object means other pixels.
    scribbles : ndarray
        Integers of shape ``image.label_shape``, 0 = not painted. Read while the request runs.
    config : SegmentationConfig
        What to train with.
    planes : tuple of Index
        Planes to classify; the first is on the screen and comes first.
    visible : Window
        The part of that plane on the screen; it comes before the rest.
    classes : tuple of ClassInfo
        Names and colours, also of what is ignored.
    ignored : frozenset of int
        Painted values that are neither trained on nor classified: their pixels become 0.
    classifier : PixelClassifier or None
        Apply this one; None trains on the scribbles.
    predict : bool
        False stops once the features are there.
    votes : bool
        Whether final blocks carry probabilities; coarse ones never do.
    generation : int
        Grows with every change of anything but `planes` and `visible`.
    advise : bool
        Whether to assess the first plane's result when all is done, and say where to paint next.
    """

    image: Micrograph
    scribbles: NDArray[np.integer[Any]]
    config: SegmentationConfig
    planes: tuple[Index, ...]
    visible: Window
    classes: tuple[ClassInfo, ...] = ()
    ignored: frozenset[int] = frozenset()
    classifier: PixelClassifier | None = None
    predict: bool = True
    votes: bool = False
    generation: int = 0
    advise: bool = False


@dataclass(frozen=True)
class ModelReady:
    """The backbone is loaded.

    Attributes
    ----------
    device : str
        Where it computes: ``cpu``, ``cuda`` or ``mps``.
    devices : tuple of str
        Where it could be told to.
    """

    device: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class FeatureProgress:
    """The state of one plane's features; told before the first tile and after each.

    Attributes
    ----------
    plane : Index
        Which plane.
    done, total : int
        Tiles; the features are ready when they are equal.
    seconds_left : float
        Estimate, by the tiles computed so far; before the first one by what is usual.
    megabytes : float
        What the finished features take.
    scale : int
        How many times the plane is magnified for them.
    """

    plane: Index
    done: int
    total: int
    seconds_left: float
    megabytes: float
    scale: int


@dataclass(frozen=True)
class Working:
    """Work goes on: filters, a forest or an assessment; the engine can be stopped here."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A classifier that is about to be applied.

    Attributes
    ----------
    classifier : PixelClassifier
        Equal to what `Segmenter.fit` makes of the same scribbles.
    """

    classifier: PixelClassifier


@dataclass(frozen=True, eq=False)
class ResultBlock:
    """A piece of a result.

    Attributes
    ----------
    plane : Index
        Which plane.
    window : Window
        Where.
    result : Segmentation
        Of the window, at full size.
    final : bool
        False for a coarse or preliminary piece that a later one replaces.
    """

    plane: Index
    window: Window
    result: Segmentation
    final: bool


@dataclass(frozen=True)
class PlaneDone:
    """Every pixel of a plane has its final class.

    Attributes
    ----------
    plane : Index
        Which plane.
    pixels : mapping
        Pixels by class value; ignored ones are not counted.
    """

    plane: Index
    pixels: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Assessed:
    """What is known of a plane's final result without ground truth.

    Attributes
    ----------
    plane : Index
        Which plane.
    spots : tuple of Spot
        Where to paint next, the best first.
    assessment : Assessment or None
        How good it is; None until that is known, or where too little is painted.
    """

    plane: Index
    spots: tuple[Spot, ...]
    assessment: Assessment | None = None


LiveEvent: TypeAlias = (
    Painted | ModelReady | FeatureProgress | Working | Fitted | ResultBlock | PlaneDone | Assessed
)
