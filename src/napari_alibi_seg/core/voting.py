"""The votes of a forest, 256 pixels at a time through every tree.

scikit-learn walks each pixel down each tree alone, and waits for memory at every node. Here a
tree is walked once for a square of pixels: a node splits those that reach it with one comparison,
which the compiler turns into vector instructions, and a branch that no pixel takes is left out.
Neighbours are alike, so most branches are. The numbers added, and their order, are
scikit-learn's, and so is the result to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_SIDE = 16
_SQUARE = _SIDE * _SIDE
_PAD = 16  # rows of 1024 bytes would all compete for the same lines of the cache
_WORDS = _SQUARE // 8
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_YES, _NO = np.uint8(255), np.uint8(0)
_LEAF = -1


class _Trees(NamedTuple):
    """The nodes of all trees, one tree after the other.

    `feature`, `left`, `right` (nodes,) int32, `left` is -1 at leaves; `threshold` (nodes,) float32;
    `shares` (nodes, K) float64; `roots` (trees,) int32; `depth` of the deepest tree.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    shares: NDArray[np.float64]
    roots: NDArray[np.int32]
    depth: int


@dataclass(frozen=True)
class _Flattened:
    estimators: list[Any]
    trees: _Trees


_known: WeakKeyDictionary[Any, _Flattened] = WeakKeyDictionary()
_lock = Lock()


def votes(forest: Any, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what ``forest.predict_proba`` returns, several times faster and on one thread.

    Parameters
    ----------
    forest : ForestClassifier
        A fitted forest of scikit-learn's, with one output.
    values : ndarray
        (N, F) or (Y, X, F) finite float32 channels of pixels. The latter is faster: squares of
        pixels are more alike than rows of them.

    Returns
    -------
    ndarray
        (N, K) or (Y, X, K) shares of the votes in [0, 1], in the order of ``forest.classes_``.
    """
    trees = _flattened(forest)
    pixels = np.ascontiguousarray(values, np.float32).reshape(-1, *values.shape[-2:])
    shares = np.empty((*pixels.shape[:2], trees.shares.shape[1]))
    height = min(_SIDE, len(pixels))
    _count(pixels, height, _SQUARE // height, *trees, shares)
    shares /= len(trees.roots)
    return shares.reshape(*values.shape[:-1], -1)


def compile_now() -> None:
    """Get the machine code ready, which takes seconds the first time on a machine."""
    nought, leaf = np.zeros(1, np.int32), np.full(1, _LEAF, np.int32)
    stump = _Trees(nought, np.zeros(1, np.float32), leaf, leaf, np.ones((1, 1)), nought, 0)
    _count(np.zeros((1, 1, 1), np.float32), 1, _SQUARE, *stump, np.empty((1, 1, 1)))


def _flattened(forest: Any) -> _Trees:
    with _lock:
        known = _known.get(forest)
        if known is None or known.estimators != forest.estimators_:  # it has been fitted again
            known = _Flattened(list(forest.estimators_), _flatten(forest.estimators_))
            _known[forest] = known
        return known.trees


def _flatten(estimators: list[Any]) -> _Trees:
    trees = [estimator.tree_ for estimator in estimators]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]

    def children(side: str) -> NDArray[np.int32]:
        parts = [getattr(tree, side) for tree in trees]
        moved = [np.where(p < 0, _LEAF, p + root) for p, root in zip(parts, roots, strict=True)]
        return np.concatenate(moved).astype(np.int32)

    return _Trees(
        np.concatenate([tree.feature for tree in trees]).astype(np.int32),
        _rounded_down(np.concatenate([tree.threshold for tree in trees])),
        children("children_left"),
        children("children_right"),
        np.concatenate([tree.value[:, 0] for tree in trees]),
        roots.astype(np.int32),
        max(tree.max_depth for tree in trees),
    )


def _rounded_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each value: a float32 is above both or neither."""
    rounded = values.astype(np.float32)
    below = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded > values, below, rounded)


def _compiled(function: _Function) -> _Function:
    try:
        made: Any = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # there is no folder in which machine code may be kept
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast("_Function", made)


@_compiled
def _above(values: Any, threshold: Any, out: Any) -> None:
    for k in range(_SQUARE):
        out[k] = _YES if values[k] > threshold else _NO


@_compiled
def _split(reached: Any, above: Any) -> tuple[Any, Any]:
    """Keep in each only the pixels that go there; return whether there are any."""
    any_left = any_right = np.uint64(0)
    for k in range(_WORDS):
        right = above[k] & reached[k]
        left = reached[k] ^ right
        above[k], reached[k] = right, left
        any_left |= left
        any_right |= right
    return any_left, any_right


@_compiled
def _copy(source: Any, out: Any) -> None:
    for k in range(_WORDS):
        out[k] = source[k]


@_compiled
def _add(share: Any, reached: Any, out: Any) -> None:
    for k in range(_SQUARE):
        out[k] += share if reached[k] else 0.0


@_compiled
def _ask(
    root: int,
    feature: Any,
    threshold: Any,
    left: Any,
    right: Any,
    shares: Any,
    channels: Any,
    reached: Any,
    nodes: Any,
    counts: Any,
) -> None:
    """Add one tree's shares to `counts`; `reached` and `nodes` are a stack of branches to take."""
    words = reached.view(np.uint64)
    top = 0
    nodes[0] = root
    for k in range(_WORDS):
        words[0, k] = _ALL
    while top >= 0:
        node = nodes[top]
        if left[node] == _LEAF:
            for c in range(shares.shape[1]):
                if shares[node, c] != 0:
                    _add(shares[node, c], reached[top], counts[c])
            top -= 1
            continue
        _above(channels[feature[node]], threshold[node], reached[top + 1])
        any_left, any_right = _split(words[top], words[top + 1])
        nodes[top] = left[node]
        if any_right and any_left:
            top += 1
            nodes[top] = right[node]
        elif any_right:
            _copy(words[top + 1], words[top])
            nodes[top] = right[node]


@_compiled
def _turn(pixels: Any, top: int, bottom: int, first: int, last: int, channels: Any) -> None:
    """Write the channels of a rectangle of pixels as rows."""
    k = 0
    for y in range(top, bottom):
        for x in range(first, last):
            for f in range(pixels.shape[2]):
                channels[f, k] = pixels[y, x, f]
            k += 1


@_compiled
def _count(
    pixels: Any,
    height: int,
    width: int,
    feature: Any,
    threshold: Any,
    left: Any,
    right: Any,
    shares: Any,
    roots: Any,
    depth: int,
    out: Any,
) -> None:
    """Write the sum of all trees' shares, (Y, X, K), a rectangle of pixels at a time."""
    channels = np.zeros((pixels.shape[2], _SQUARE + _PAD), np.float32)
    reached = np.empty((depth + 2, _SQUARE), np.uint8)
    nodes = np.empty(depth + 2, np.int32)
    counts = np.empty((shares.shape[1], _SQUARE))
    for top in range(0, pixels.shape[0], height):
        bottom = min(top + height, pixels.shape[0])
        for first in range(0, pixels.shape[1], width):
            last = min(first + width, pixels.shape[1])
            _turn(pixels, top, bottom, first, last, channels)
            counts.fill(0)
            for root in roots:
                _ask(
                    root, feature, threshold, left, right, shares, channels, reached, nodes, counts
                )
            k = 0
            for y in range(top, bottom):
                for x in range(first, last):
                    for c in range(shares.shape[1]):
                        out[y, x, c] = counts[c, k]
                    k += 1
