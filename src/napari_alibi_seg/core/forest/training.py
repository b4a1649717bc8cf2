"""From labelled pixels to a forest."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.utils.class_weight import compute_class_weight

from napari_alibi_seg.core.channels.kinds import ChannelInfo, ChannelKind
from napari_alibi_seg.core.choices import Forest
from napari_alibi_seg.core.forest.boundaries import boundary_pixels
from napari_alibi_seg.core.forest.classifier import require_two_classes
from napari_alibi_seg.core.forest.variation import BETWEEN_IMAGES, WITHIN_IMAGE, Response
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.progress import Progress, mapped, returned, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import Projection
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.boundaries import BoundaryPixels
    from napari_alibi_seg.core.forest.classifier import PixelSamples

PixelForest: TypeAlias = ExtraTreesClassifier | RandomForestClassifier
Vary: TypeAlias = "Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]"
"""From (N, F) values to values as they might also look."""
Bound: TypeAlias = (
    "Callable[[NDArray[np.float32], NDArray[Any], np.random.Generator], BoundaryPixels]"
)
"""From (N, F) values and (N,) labels to pixels at boundaries."""

_TREES_AT_ONCE = 17
_GROWN_AT_ONCE = 100_000
"""Pixels times trees between two steps, at which training can be left: some .3 core-seconds."""
_MISTAKEN = 0.1
_PATCH = 12.0
"""How far a deep channel looks, in pixels of the magnified image: about a patch."""
# Shares of the trees that see no deep channels, and of those that see classical ones alone, by
# whether they are to do on the painted image or on others: docs/quality.md.
_PARTS_WITHIN_IMAGE, _PARTS_BETWEEN_IMAGES = (1 / 4, 1 / 4), (1 / 12, 1 / 4)

_KINDS: dict[Forest, type[PixelForest]] = {
    Forest.EXTRA_TREES: ExtraTreesClassifier,
    Forest.RANDOM: RandomForestClassifier,
}


def kind_of(forest: PixelForest) -> Forest:
    """Return how the trees of a forest were grown."""
    return next(kind for kind, made in _KINDS.items() if isinstance(forest, made))


def train_forest(
    config: SegmentationConfig,
    samples: Sequence[PixelSamples],
    projection: Projection | None,
    progress: Progress = silent,
    several: bool = False,
) -> PixelForest:
    """Fit the forest that a configuration asks for; see `growing_forest`.

    Extremely randomised trees see the samples as they may vary, and as they would look at
    boundaries; the random forest sees them as they are. What strokes on several images teach is
    meant for others, too: they vary more, more trees see deep channels, and no boundaries are
    made up, for which images differ too much (docs/quality.md).

    Parameters
    ----------
    config : SegmentationConfig
        How to train, and the channels that the samples have.
    samples : sequence of PixelSamples
        Of the painted planes.
    projection : Projection or None
        Of their deep channels; None if they have none.
    progress : callable
        Told after every few trees.
    several : bool
        Whether the planes are of several images.
    """
    work = training_forest(config, samples, projection, several)
    return returned(mapped(work, lambda done: progress("training", done, config.trees)))


def training_forest(
    config: SegmentationConfig,
    samples: Sequence[PixelSamples],
    projection: Projection | None,
    several: bool = False,
) -> Generator[int, None, PixelForest]:
    """Train as `train_forest` does, in steps that can be left at any time.

    The parameters are the same. Yields how many trees there are.
    """
    filters, vary, bound, parts = config.channels.filters, None, None, {}
    deep = 0 if projection is None else len(projection.components)
    if config.channels.sigmas:
        colours = (samples[0].values.shape[1] - deep) // filters.count(1)
        channels = [ChannelInfo(ChannelKind.DEEP, _PATCH / config.scale)] * deep
        channels += filters.kinds(colours)
        parts = _parts(channels, _PARTS_BETWEEN_IMAGES if several else _PARTS_WITHIN_IMAGE)
        if config.forest is Forest.EXTRA_TREES:
            vary = partial(BETWEEN_IMAGES if several else WITHIN_IMAGE, Response.of(channels))
            bound = None if several else partial(boundary_pixels, channels)
    return growing_forest(
        samples,
        config.trees,
        config.seed,
        kind=config.forest,
        vary=vary,
        bound=bound,
        parts=parts,
    )


def _parts(channels: Sequence[ChannelInfo], shares: tuple[float, float]) -> dict[range, float]:
    """Return which channels trees see that do not see all, and the share of these trees."""
    kinds = [channel.kind for channel in channels]  # deep, classical, learned
    deep, learned = kinds.count(ChannelKind.DEEP), kinds.count(ChannelKind.LEARNED)
    filters = range(deep, len(kinds))
    parts: dict[range, float] = {}
    for seen, share in zip((filters, filters[: len(filters) - learned]), shares, strict=True):
        if len(seen) < len(kinds):
            parts[seen] = parts.get(seen, 0.0) + share
    return parts


def growing_forest(
    samples: Sequence[PixelSamples],
    trees: int,
    seed: int,
    *,
    kind: Forest = Forest.EXTRA_TREES,
    vary: Vary | None = None,
    bound: Bound | None = None,
    parts: Mapping[range, float] = MappingProxyType({}),
) -> Generator[int, None, PixelForest]:
    """Fit a forest with balanced class weights on the samples of one or more planes, in steps.

    Parameters
    ----------
    samples : sequence of PixelSamples
        At least two classes among them.
    trees, seed : int
        Of the forest.
    kind : Forest
        How the trees are grown.
    vary : callable, optional
        Returns the values as they might also look, drawn anew for every few trees.
    bound : callable, optional
        Returns pixels at boundaries between the phases, which all but the first few trees see,
        too: those that the first trees do not take for a third phase.
    parts : mapping of range to float
        Share of the trees, 0 to below 1 together, that split on some channels alone, each part
        within the one before, so that channels which mislead are outvoted.

    Yields
    ------
    int
        How many trees there are.

    Raises
    ------
    ScribbleError
        If fewer than two classes are painted.
    """
    values = np.concatenate([some.values for some in samples])
    labels = np.concatenate([some.labels for some in samples])
    require_two_classes(labels)
    random = np.random.default_rng(seed)
    forest = _KINDS[kind](random_state=seed, warm_start=True)
    counts = {seen: count for seen, share in parts.items() if (count := int(share * trees))}
    everywhere = trees - sum(counts.values())
    first = min(_TREES_AT_ONCE, everywhere)
    yield from _grow(forest, range(first), values, labels, vary, random)
    if bound and first < trees:
        added = _unmistaken(bound(values, labels, random), forest)
        values = np.concatenate([values, added.values])
        labels = np.concatenate([labels, added.labels])
    yield from _grow(forest, range(first, everywhere), values, labels, vary, random)
    for seen, count in counts.items():
        values[:, : seen.start] = values[:, seen.stop :] = 0.0  # no tree splits on a constant
        others = _KINDS[kind](random_state=seed, warm_start=True)
        grown = len(forest.estimators_)
        yield from mapped(_grow(others, range(count), values, labels, vary, random), grown.__add__)
        forest.estimators_ += others.estimators_
    return forest.set_params(n_estimators=trees, class_weight="balanced", warm_start=False)


def _grow(
    forest: PixelForest,
    numbers: range,
    values: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    vary: Vary | None,
    random: np.random.Generator,
) -> Generator[int, None, None]:
    """Add the trees of these numbers to a forest; yields how many it has."""
    # A few trees at a time are the same trees, but the balance must then be told as numbers.
    classes = np.unique(labels)
    balance = compute_class_weight("balanced", classes=classes, y=labels)
    forest.set_params(class_weight=dict(zip(classes.tolist(), balance.tolist(), strict=True)))
    step = max(_GROWN_AT_ONCE // len(labels), 1)
    for begun in numbers[::_TREES_AT_ONCE]:
        seen = vary(values, random) if vary else values
        end = min(begun + _TREES_AT_ONCE, numbers.stop)
        for done in [*range(begun + step, end, step), end]:
            forest.set_params(n_estimators=done).fit(seen, labels)
            yield done


def _unmistaken(pixels: BoundaryPixels, forest: PixelForest) -> BoundaryPixels:
    """Leave out pixels at boundaries of two phases for which a tenth of the votes name a third."""
    shares, rows = votes(forest, pixels.values), np.arange(len(pixels.labels))
    own, other = (np.searchsorted(forest.classes_, of) for of in (pixels.labels, pixels.beyond))
    return pixels[1 - shares[rows, own] - shares[rows, other] < _MISTAKEN]
