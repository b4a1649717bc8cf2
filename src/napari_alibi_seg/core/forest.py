"""From labelled pixels to a forest."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.utils.class_weight import compute_class_weight

from napari_alibi_seg.core.choices import Forest
from napari_alibi_seg.core.classifier import require_two_classes
from napari_alibi_seg.core.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classifier import PixelSamples

PixelForest: TypeAlias = ExtraTreesClassifier | RandomForestClassifier
Vary: TypeAlias = "Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]"
"""From (N, F) values to values as they might also be."""

_TREES_AT_ONCE = 17

_KINDS: dict[Forest, type[PixelForest]] = {
    Forest.EXTRA_TREES: ExtraTreesClassifier,
    Forest.RANDOM: RandomForestClassifier,
}


def fit_forest(
    samples: Sequence[PixelSamples],
    trees: int,
    seed: int,
    progress: Progress = silent,
    *,
    kind: Forest = Forest.EXTRA_TREES,
    deep: int = 0,
    vary: Vary | None = None,
    classical_trees: float = 0.0,
) -> PixelForest:
    """Fit a forest with balanced class weights on the samples of one or more planes.

    Parameters
    ----------
    samples : sequence of PixelSamples
        At least two classes among them.
    trees, seed : int
        Of the forest.
    progress : callable
        Told after every few trees.
    kind : Forest
        How the trees are grown.
    deep : int
        The first channels are this many deep ones, and classical ones follow. 0 lets every tree
        use every channel.
    vary : callable, optional
        Returns the values as they might also be, drawn anew for every few trees.
    classical_trees : float
        Share of the trees, 0 to below 1, that split on classical channels alone if there are deep
        ones, so that deep features which mislead are outvoted.

    Raises
    ------
    ScribbleError
        If fewer than two classes are painted.
    """
    values = np.concatenate([some.values for some in samples])
    labels = np.concatenate([some.labels for some in samples])
    classes = require_two_classes(labels)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    forest = _KINDS[kind](
        class_weight=dict(zip(classes.tolist(), weights.tolist(), strict=True)),
        random_state=seed,
        warm_start=True,
    )
    random = np.random.default_rng(seed)

    def grow(growing: PixelForest, count: int, before: int) -> PixelForest:
        for done in _portions(count):
            seen = vary(values, random) if vary else values
            growing.set_params(n_estimators=done).fit(seen, labels)
            progress("training", before + done, trees)
        return growing

    classical, count = clone(forest), int(classical_trees * trees) if deep else 0
    grow(forest, trees - count, 0)
    if count:
        values[:, :deep] = 0.0  # no tree splits on a constant
        forest.estimators_ += grow(classical, count, trees - count).estimators_
    return forest.set_params(n_estimators=trees, class_weight="balanced", warm_start=False)


def _portions(trees: int) -> list[int]:
    # A few trees at a time are the same trees, but the balance must then be told as numbers.
    return [*range(_TREES_AT_ONCE, trees, _TREES_AT_ONCE), trees]
