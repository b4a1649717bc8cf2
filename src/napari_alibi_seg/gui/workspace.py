"""Hold the state of one image: its strokes and its result."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np

from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
from napari_alibi_seg.core.forest.strokes import painted_pixels
from napari_alibi_seg.core.judging.expectation import expectation, recognises
from napari_alibi_seg.core.live.records import Advice, ClassifierReady, PlaneDone
from napari_alibi_seg.gui.ownership import OWNER, follow_name, owner_of
from napari_alibi_seg.gui.projects import RECIPE
from napari_alibi_seg.gui.records import Order, PaintClass, Recipe

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.assessment import Assessment
    from napari_alibi_seg.core.judging.expectation import Expectation
    from napari_alibi_seg.core.judging.suggestions import Spot
    from napari_alibi_seg.core.live.records import LiveEvent, LiveRequest
    from napari_alibi_seg.gui.painting import Scribbles
    from napari_alibi_seg.gui.records import Settings
    from napari_alibi_seg.gui.result import ResultLayers
    from napari_alibi_seg.gui.source import ImageSource

_REMOVED: WeakKeyDictionary[Labels, dict[int, PaintClass]] = WeakKeyDictionary()
"""Classes deleted with strokes of a layer, which its undo may bring back as long as it lives."""


@dataclass(eq=False)
class Workspace:
    """An image with its strokes and its result.

    Attributes
    ----------
    source : ImageSource
        The image.
    scribbles : Scribbles
        The scribbles layer.
    result : ResultLayers
        The result layers.
    classes : tuple of PaintClass
        As last seen in the window.
    config : SegmentationConfig
        As last seen in the window.
    loaded : PixelClassifier or None
        A classifier from a file, applied instead of training.
    put_aside : PixelClassifier or None
        The loaded one, no longer used because something was painted.
    own : dict
        What the classes of a loaded classifier were before, by value, if something was painted;
        None where there was none.
    fitted : PixelClassifier or None
        The classifier last applied.
    fitted_with : SegmentationConfig or None
        Settings when it was applied.
    counts : ScribbleCounts or None
        How much is painted, as last reported by the engine.
    done : dict
        The last final result of each plane; without what its votes say once it is out of date.
    assessments : dict
        Assessment of each plane that has one.
    spots : dict
        Where to paint next on each plane, the next first.
    told_lost : frozenset of int
        Classes reported to the user as painted only where there is no data.
    touched : bool
        Whether the user has painted.
    order : Order or None
        The last order.
    outdated : bool
        Whether something was painted since that order.
    forest_outdated : bool
        Whether strokes or settings have changed since the last training.
    offered : bool
        Whether an earlier session was offered since the image was opened.
    second_offered : bool
        Whether the second class was, or need not be, chosen after the first stroke.
    named : str
        Image name that the layers are named after.
    """

    source: ImageSource
    scribbles: Scribbles
    result: ResultLayers
    classes: tuple[PaintClass, ...]
    config: SegmentationConfig
    loaded: PixelClassifier | None = None
    put_aside: PixelClassifier | None = None
    own: dict[int, PaintClass | None] = field(default_factory=dict)
    fitted: PixelClassifier | None = None
    fitted_with: SegmentationConfig | None = None
    counts: ScribbleCounts | None = None
    done: dict[Index, PlaneDone] = field(default_factory=dict)
    assessments: dict[Index, Assessment] = field(default_factory=dict)
    spots: dict[Index, deque[Spot]] = field(default_factory=dict)
    told_lost: frozenset[int] = frozenset()
    touched: bool = False
    order: Order | None = None
    outdated: bool = False
    forest_outdated: bool = False
    offered: bool = False
    problem_told: bool = False
    second_offered: bool = False
    named: str = field(init=False)

    def __post_init__(self) -> None:
        self.named = self.source.name

    def follow_name(self) -> None:
        """Rename the layers if the image was renamed."""
        before, self.named = self.named, self.source.name
        if before != self.named:
            for layer in (self.scribbles.layer, *self.result.layers):
                follow_name(layer, before, self.named)

    @property
    def owner(self) -> str:
        """Token of the strokes, stored in the session file."""
        layer = self.scribbles.layer
        found = owner_of(layer)
        if found is None:
            self.owner = found = uuid4().hex
        return found

    @owner.setter
    def owner(self, owner: str) -> None:
        layer = self.scribbles.layer
        layer.metadata[OWNER] = layer.unique_id, owner

    @property
    def unkept(self) -> bool:
        """Whether there are strokes that the session file lacks."""
        kept = self.order is not None and self.order.kept.is_set() and not self.outdated
        return self.touched and (self.scribbles.pending or not kept)

    def make_order(
        self,
        request: LiveRequest,
        classes: tuple[PaintClass, ...],
        config: SegmentationConfig,
        settings: Settings,
    ) -> Order:
        """Make the order for what should be on the screen, and keep its recipe with the strokes.

        Parameters
        ----------
        request : LiveRequest
            What should be on the screen.
        classes : tuple of PaintClass
            Those of the window.
        config : SegmentationConfig
            As the user chose it.
        settings : Settings
            As they are in effect.
        """
        recipe = replace(self.recipe(classes, config), applied=settings.config)
        self.scribbles.layer.metadata[RECIPE] = recipe
        self.outdated = False
        self.order = Order(
            request,
            config,
            self.source.measured,
            settings.device,
            settings.threads,
            touched=self.touched,
            owner=self.owner,
            classes=recipe.classes,
        )
        return self.order

    def make_closing_order(
        self, classes: tuple[PaintClass, ...], config: SegmentationConfig
    ) -> Order:
        """Make an order that saves the session before the image is left."""
        assert self.order is not None
        self.outdated = False
        self.order = replace(
            self.order,
            request=replace(self.order.request, scribbles=self.scribbles.data),
            image=self.source.measured,
            config=config,
            touched=True,  # also where the last stroke came after the last order
            owner=self.owner,
            classes=self.own_classes(classes),
            kept=Event(),
        )
        return self.order

    def hear(self, event: LiveEvent, config: SegmentationConfig) -> None:
        """Note what the engine tells; blocks of the result are placed by whoever shows them.

        Parameters
        ----------
        event : LiveEvent
            The event from the engine.
        config : SegmentationConfig
            The settings in effect.
        """
        match event:
            case ScribbleCounts():
                self._note_counts(event)
            case ClassifierReady():
                self._note_classifier(event.classifier, config)
            case PlaneDone():
                self.result.finish(event.plane)
                self.done[event.plane] = event
            case Advice():
                self._note_advice(event)

    def _note_counts(self, counts: ScribbleCounts) -> None:
        """Note how much is painted; a change, for example by undo, makes results out of date.

        Strokes that give no classifier drop the last one; its result stays on the screen.
        """
        if self.counts not in (None, counts):
            self.outdate()
        self.counts = counts
        if not (self.trainable or self.loaded):
            self.fitted = None
            self._forget_estimates()
            self.outdate()

    def _note_classifier(self, classifier: PixelClassifier, config: SegmentationConfig) -> None:
        """Note the applied classifier; results of another forest are out of date.

        With the same one, what was painted since is undone; but strokes of an ignored class, which
        are left out of results, may have changed.
        """
        if self.result.expect(classifier):
            self._forget_estimates()
        elif self.order is None or not self.order.request.ignored:
            self.result.resume()
        self.fitted, self.fitted_with, self.forest_outdated = classifier, config, False

    def touch(self) -> None:
        """Note that the user painted: all is out of date, but for now it may be undone."""
        self.touched = self.outdated = self.forest_outdated = True
        self.result.suspend()

    def outdate(self) -> None:
        """Note that strokes or settings have changed: classifier and results are out of date."""
        self.forest_outdated = True
        self.result.outdate()

    def use(self, classifier: PixelClassifier) -> None:
        """Apply a classifier until something is painted; results of another are out of date."""
        self.loaded, self.put_aside = classifier, None
        if self.fitted is None or self.fitted.forest is not classifier.forest:
            self.outdate()

    @property
    def classifier(self) -> PixelClassifier | None:
        """The classifier from a file, or else the one last trained."""
        return self.fitted if self.loaded is None else self.loaded

    @property
    def classifier_current(self) -> bool:
        """Whether there is a classifier, from a file or of the current strokes and settings."""
        trained = self.fitted is not None and not self.forest_outdated
        return trained or self.loaded is not None

    def _note_advice(self, advice: Advice) -> None:
        """Note where to paint next on a plane, and its assessment if it is complete."""
        self.spots[advice.plane] = deque(advice.spots)
        if advice.assessment is not None:
            self.assessments[advice.plane] = advice.assessment

    def forget_result(self) -> None:
        """Forget what is known of a removed result, except for assessments."""
        self.done, self.spots = {}, {}

    def _forget_estimates(self) -> None:
        """Forget what the votes of an earlier forest say."""
        self.assessments, self.spots = {}, {}
        self.done = {plane: replace(done, voted=None) for plane, done in self.done.items()}

    def expected(self, index: Index) -> Expectation | None:
        """Return what is expected of a finished plane; None if nothing can be said."""
        done = self.done.get(index)
        if done is None:
            return None
        if self.loaded is not None:
            recognised = self.loaded.recognised
            return expectation(index, done.voted, None, recognised, done.novelty)
        return expectation(index, done.voted, self.assessments, novelty=done.novelty)

    @property
    def trainable(self) -> bool:
        """Whether at least two classes are painted, as last reported by the engine."""
        return self.counts is not None and len(self.counts.pixels) > 1

    @property
    def recognised(self) -> bool:
        """Whether the classifier last trained is known to recognise strokes."""
        return recognises(self.assessments)

    @property
    def unassessed(self) -> bool:
        """Whether nothing is assessed yet, or not every finished plane with known strokes."""
        if self.loaded is not None or self.fitted is None:
            return False
        if not self.assessments:
            return True
        drawn, values = self.scribbles.data, self.fitted.label_values
        lacking = [drawn[index] for index in self.result.finished - self.assessments.keys()]
        return any(np.isin(plane[painted_pixels(plane)], values).any() for plane in lacking)

    def recipe(self, classes: tuple[PaintClass, ...], config: SegmentationConfig) -> Recipe:
        """Return the recipe to store with the strokes."""
        source = self.source
        own = self.own_classes(classes)
        return Recipe(own, config, source.reading.axes, source.channels, source.file)

    def own_classes(self, shown: tuple[PaintClass, ...]) -> tuple[PaintClass, ...]:
        """Return the classes of the strokes: those shown, except for what a classifier changed.

        A class of the classifier alone is one of them once it is chosen to paint.
        """
        chosen, own = self.scribbles.layer.selected_label, []
        for info in shown:
            mine = self.own.get(info.value, info)
            if mine is not None:
                own.append(replace(mine, ignored=info.ignored))
            elif info.value == chosen:
                own.append(info)
        return tuple(own) or shown

    def features_seen(self, config: SegmentationConfig) -> str:
        """Return the key of the features behind the result; empty if they are not current."""
        fitted = self.fitted
        settled = self.loaded is None and fitted is not None and self.fitted_with == config
        if not settled or fitted is None or fitted.features is None:
            return ""
        return fitted.features.key

    def keeps_features(self, config: SegmentationConfig) -> bool:
        """Whether the features for these settings are those last ordered."""
        last = None if self.order is None else self.order.config
        return last is not None and (last.model, last.scale) == (config.model, config.scale)

    @property
    def stack(self) -> bool:
        """Whether there is more than one plane."""
        return len(self.source.micrograph.label_shape) > 2

    def measure(self, config: SegmentationConfig) -> bool:
        """Update the plane spacing for 3-D filters; return whether it changed."""
        loaded, measured = self.loaded, self.source.measured
        channels = (config if loaded is None else loaded).channels
        if not channels.sigmas_3d or measured.anisotropy == self.source.micrograph.anisotropy:
            return False
        self.source = replace(self.source, micrograph=measured)
        self.outdate()
        return True

    def is_of(self, source: ImageSource) -> bool:
        """Whether this is the same pixels in the same reading."""
        mine = self.source
        same_reading = (mine.reading, mine.channels) == (source.reading, source.channels)
        return same_reading and mine.layer == source.layer and mine.pixels is source.pixels


def classes_of(layer: Labels) -> tuple[PaintClass, ...]:
    """Return the classes a layer was painted with, those a sample names, or two plain ones."""
    if RECIPE in layer.metadata:
        recipe: Recipe = layer.metadata[RECIPE]
        return recipe.classes
    names = layer.metadata.get("classes", ())
    last = max(len(names), 2)
    return tuple(PaintClass.default(n, *names[n - 1 : n]) for n in range(1, last + 1))


def removed_from(layer: Labels) -> dict[int, PaintClass]:
    """Return the classes deleted with strokes of a layer, by value; changes to it are kept."""
    return _REMOVED.setdefault(layer, {})
