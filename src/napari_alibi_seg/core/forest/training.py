"""Training of a forest on labelled pixels."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.utils.class_weight import compute_class_weight

from napari_alibi_seg.core.channels.filters import count_filters, describe_filters
from napari_alibi_seg.core.channels.kinds import ChannelInfo, ChannelKind
from napari_alibi_seg.core.choices import Forest
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.forest.boundaries import boundary_pixels
from napari_alibi_seg.core.forest.classifier import PixelClassifier
from napari_alibi_seg.core.forest.scribbles import require_class_count
from napari_alibi_seg.core.forest.variation import BETWEEN_IMAGES, WITHIN_IMAGE, Response
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.progress import map_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import Projection
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.features.extraction import FeatureIdentity
    from napari_alibi_seg.core.forest.boundaries import BoundaryPixels
    from napari_alibi_seg.core.forest.samples import PixelSamples
    from napari_alibi_seg.core.images.pixel_size import PixelSize

PixelForest: TypeAlias = ExtraTreesClassifier | RandomForestClassifier
Vary: TypeAlias = "Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]"
"""Data augmentation of (N, F) values; see `variation`."""
Bound: TypeAlias = (
    "Callable[[NDArray[np.float32], NDArray[Any], np.random.Generator], BoundaryPixels]"
)
"""Synthesises boundary pixels from (N, F) values and (N,) labels; see `boundaries`."""

_TREES_AT_ONCE = 17
_GROWN_AT_ONCE = 100_000
"""Pixels times trees per step of the generator: about 0.3 core-seconds."""
_MISTAKEN = 0.1
_DEEP_SIGMA = 12.0
"""Blur of a deep channel, in pixels of the magnified image: about a patch."""
# Shares of the trees without deep channels, and of those with classical channels alone, for a
# classifier of the scribbled image itself and of other images: docs/quality.md.
_PARTS_WITHIN_IMAGE, _PARTS_BETWEEN_IMAGES = (1 / 2, 1 / 4), (1 / 12, 1 / 4)

_KINDS: dict[Forest, type[PixelForest]] = {
    Forest.EXTRA_TREES: ExtraTreesClassifier,
    Forest.RANDOM: RandomForestClassifier,
}


def kind_of(forest: PixelForest) -> Forest:
    """Return the kind of a fitted forest."""
    return next(kind for kind, made in _KINDS.items() if isinstance(forest, made))


def training_classifier(
    config: SegmentationConfig,
    samples: Sequence[PixelSamples],
    projection: Projection | None,
    *,
    features: FeatureIdentity | None,
    bands: int,
    classes: Sequence[ClassInfo],
    pixel_size: PixelSize | None,
    several: bool = False,
) -> Generator[int, None, PixelClassifier]:
    """Train a classifier, as a generator that can be closed at any step.

    Parameters
    ----------
    config, samples, projection, several
        As for `training_forest`.
    features : FeatureIdentity or None
        Identity of the features that were projected; None for pixel filters only.
    bands : int
        Number of values per pixel of the planes.
    classes : sequence of ClassInfo
        Names and colours of classes; others get default ones.
    pixel_size : PixelSize or None
        What the painted images have in common.

    Yields
    ------
    int
        Number of trees so far; the generator returns the `PixelClassifier`.
    """
    forest = yield from training_forest(config, samples, projection, several)
    return PixelClassifier(
        forest=forest,
        classes=ClassInfo.of(forest.classes_, classes),
        channels=config.channels,
        projection=projection,
        features=features,
        bands=bands,
        smoothing=config.smoothing,
        pixel_size=pixel_size,
    )


def training_forest(
    config: SegmentationConfig,
    samples: Sequence[PixelSamples],
    projection: Projection | None,
    several: bool = False,
) -> Generator[int, None, PixelForest]:
    """Fit the forest specified by a configuration; see `growing_forest`.

    With pixel filters, extremely randomised trees are trained with data augmentation and synthetic
    boundary pixels; a random forest is not. Training on several images aims to generalise to
    others: augmentation is stronger, more trees use deep channels, and there are no synthetic
    boundaries, for which images differ too much (docs/quality.md).

    Parameters
    ----------
    config : SegmentationConfig
        How to train, and the channels of the samples.
    samples : sequence of PixelSamples
        Labelled pixels of each scribbled plane.
    projection : Projection or None
        Projection of the deep channels; None if there are none.
    several : bool
        Whether the planes belong to several images.

    Yields
    ------
    int
        Number of trees so far; the generator returns the forest.
    """
    vary, bound, parts = None, None, {}
    deep = 0 if projection is None else len(projection.components)
    if config.channels.sigmas:
        bands = (samples[0].values.shape[1] - deep) // count_filters(config.channels, 1)
        channels = [ChannelInfo(ChannelKind.DEEP, _DEEP_SIGMA / config.scale)] * deep
        channels += describe_filters(config.channels, bands)
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
    """Return the channel ranges to which some trees are restricted, and the shares of trees."""
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
        With at least two classes among them.
    trees, seed : int
        Number of trees, and random seed.
    kind : Forest
        How the trees are grown.
    vary : callable, optional
        Data augmentation, redrawn for every 17 trees.
    bound : callable, optional
        Synthesises boundary pixels. Those that the first trees do not classify as a third phase
        are added to the training set of the other trees.
    parts : mapping of range to float
        Shares of the trees, adding up to less than 1, that are restricted to a range of channels,
        so that misleading channels are outvoted. Each range lies within the one before.

    Yields
    ------
    int
        Number of trees so far; the generator returns the forest.

    Raises
    ------
    ScribbleError
        If fewer than two classes are painted.
    """
    values = np.concatenate([some.values for some in samples])
    labels = np.concatenate([some.labels for some in samples])
    require_class_count(labels)
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
        values[:, : seen.start] = values[:, seen.stop :] = 0.0  # trees never split on a constant
        others = _KINDS[kind](random_state=seed, warm_start=True)
        grown = len(forest.estimators_)
        yield from map_steps(
            _grow(others, range(count), values, labels, vary, random), grown.__add__
        )
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
    """Grow the trees with these numbers; yields the number of trees of the forest."""
    # Growing in steps gives the same trees, but with warm_start class weights must be numbers.
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
    """Drop boundary pixels for which a tenth or more of the votes go to a third phase."""
    shares, rows = votes(forest, pixels.values), np.arange(len(pixels.labels))
    own, other = (np.searchsorted(forest.classes_, of) for of in (pixels.labels, pixels.beyond))
    return pixels[1 - shares[rows, own] - shares[rows, other] < _MISTAKEN]
