"""Requests to the live engine and the events it yields. Does not import torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_alibi_seg.core.forest.scribbles import ScribbleCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.windows import Index, Window
    from napari_alibi_seg.core.judging.assessment import Assessment
    from napari_alibi_seg.core.judging.expectation import Expectation
    from napari_alibi_seg.core.judging.suggestions import Spot


@dataclass(frozen=True, eq=False)
class LiveRequest:
    """What the engine should compute for display.

    Attributes
    ----------
    image : Micrograph
        The image; another object means other pixels.
    scribbles : ndarray
        Integers of shape ``image.label_shape``, 0 = not painted. Read while the request runs.
    config : SegmentationConfig
        Training settings.
    planes : tuple of Index
        Planes to classify, the displayed one first.
    visible : Window
        The visible part of the displayed plane, which is computed first.
    classes : tuple of ClassInfo
        Names and colours, including those of ignored classes.
    ignored : frozenset of int
        Painted classes excluded from training; their painted pixels become 0 in the result.
    classifier : PixelClassifier or None
        Classifier to apply; None trains one on the scribbles.
    predict : bool
        Whether to train and classify; False only computes features and visible channels.
    probabilities : bool
        Whether final blocks have probabilities; coarse ones never do.
    generation : int
        Increases where events of earlier requests would be stale: with every change of a field
        other than `planes`, `visible` and `classes`. Undo changes `scribbles` without it.
    advise : bool
        Whether to suggest, at the end, where to paint next, and to assess the displayed plane and
        the other scribbled planes with a final result.
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
    probabilities: bool = False
    generation: int = 0
    advise: bool = False

    @property
    def deep_count(self) -> int:
        """Number of deep channels that there will be once features are computed."""
        return self.config.channels.components if self.config.deep else 0


@dataclass(frozen=True)
class ModelReady:
    """The backbone is loaded.

    Attributes
    ----------
    device : str
        Device in use: ``cpu``, ``cuda`` or ``mps``.
    devices : tuple of str
        Devices that can be chosen; see `usable_devices`.
    """

    device: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class FeatureProgress:
    """Progress of a plane's features, sent before the first tile and after each.

    Attributes
    ----------
    plane : Index
        The plane.
    done, total : int
        Numbers of tiles; the features are complete when they are equal.
    seconds_left : float
        Estimated from the tiles computed so far, or from typical times before the first.
    megabytes : float
        Memory of the complete features.
    scale : int
        Magnification of the plane for these features.
    """

    plane: Index
    done: int
    total: int
    seconds_left: float
    megabytes: float
    scale: int


@dataclass(frozen=True)
class Step:
    """A step of work without a result to show, at which the engine can be stopped."""


@dataclass(frozen=True, eq=False)
class ClassifierReady:
    """A classifier that is about to be applied.

    Attributes
    ----------
    classifier : PixelClassifier
        The one requested, or equal to that of `Segmenter.fit` for the same image and scribbles.
    uneven : bool
        Whether the light of the image is uneven.
    """

    classifier: PixelClassifier
    uneven: bool


@dataclass(frozen=True, eq=False)
class ResultBlock:
    """A block of the result.

    Attributes
    ----------
    plane : Index
        The plane.
    window : Window
        Position of the block.
    result : Segmentation
        Segmentation of the window at full resolution.
    final : bool
        False for a coarse or preliminary block, to be replaced by a later one.
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
        The plane.
    pixels : mapping
        Number of pixels by class value; those of ignored scribbles are not counted.
    voted : Expectation or None
        What the votes alone say; None if the image is constant, or no pixel has data.
    flat : bool
        Whether the image is constant.
    novelty : float or None
        As in `Segmentation`.
    """

    plane: Index
    pixels: Mapping[int, int] = field(default_factory=dict)
    voted: Expectation | None = None
    flat: bool = False
    novelty: float | None = None


@dataclass(frozen=True, eq=False)
class Advice:
    """Suggestions for a plane, and the assessment of its final result.

    Attributes
    ----------
    plane : Index
        The plane.
    spots : tuple of Spot
        Where to paint next, the best first.
    assessment : Assessment or None
        None before the assessment is complete, or if too little is painted for one.
    """

    plane: Index
    spots: tuple[Spot, ...]
    assessment: Assessment | None = None


LiveEvent: TypeAlias = (
    ScribbleCounts
    | ModelReady
    | FeatureProgress
    | Step
    | ClassifierReady
    | ResultBlock
    | PlaneDone
    | Advice
)
