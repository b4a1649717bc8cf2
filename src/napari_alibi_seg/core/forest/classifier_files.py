"""Classifiers on disk: skops files, whose loading cannot execute code."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import skops.io
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from napari_alibi_seg.core.channels.filters import count_filters
from napari_alibi_seg.core.channels.pixel_channels import Projection
from napari_alibi_seg.core.choices import SMOOTHING_RADII
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import ChannelConfig
from napari_alibi_seg.core.errors import DAMAGE, AlibiSegError, ClassifierError, inaccessible
from napari_alibi_seg.core.features.extraction import FeatureIdentity
from napari_alibi_seg.core.forest.classifier import PixelClassifier, require_classifier
from napari_alibi_seg.core.forest.voting import LEAF
from napari_alibi_seg.core.headers import versions, with_tuples
from napari_alibi_seg.core.images.pixel_size import saved_size
from napari_alibi_seg.core.model.backbone import BackboneIdentity
from napari_alibi_seg.core.model.geometry import Geometry
from napari_alibi_seg.core.naming import require_no_image_names
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT = "napari-alibi-seg classifier 2"
_TREE = "sklearn.tree._tree.Tree"


def save_classifier(classifier: PixelClassifier, path: str | Path) -> None:
    """Write a classifier as a skops file, whose loading cannot execute code.

    Parameters
    ----------
    classifier : PixelClassifier
        Saved with everything that it has as attributes.
    path : str or Path
        The file, usually ``.skops``; an existing one is replaced.

    Raises
    ------
    ClassifierError
        If this is no classifier.
    OutputError
        If the name is that of an image, or the file cannot be written.
    """
    require_classifier(classifier)
    require_no_image_names([Path(path)])
    projection = classifier.projection
    header = {
        "format": _FORMAT,
        "classes": [asdict(info) for info in classifier.classes],
        "channels": asdict(classifier.channels),
        "features": None if classifier.features is None else asdict(classifier.features),
        "bands": classifier.bands,
        "smoothing": classifier.smoothing,
        "pixel_size": classifier.pixel_size and asdict(classifier.pixel_size),
        "recognised": classifier.recognised,
        "missed": 0.0 if projection is None else projection.missed,
        "versions": {"python": platform.python_version(), **versions()},
    }
    state = {
        "header": json.dumps(header, sort_keys=True),
        "forest": classifier.forest,
        "projection": None if projection is None else [projection.mean, projection.components],
    }
    with replacing(Path(path)) as aside:
        skops.io.dump(state, aside)


def load_classifier(path: str | Path) -> PixelClassifier:
    """Read a classifier written by `save_classifier`.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    PixelClassifier
        Its predictions equal those of the saved classifier.

    Raises
    ------
    ClassifierError
        If the file is missing, damaged, of another kind, or holds a type that could execute code.
    """
    if not os.path.isfile(path):
        raise ClassifierError(f"There is no classifier file {path}; check the path.")
    try:
        unsafe = set(skops.io.get_untrusted_types(file=path)) - {_TREE}
        loaded = None if unsafe else _from_state(skops.io.load(path, trusted=[_TREE]))
    except (*DAMAGE, AlibiSegError) as error:
        raise ClassifierError(
            inaccessible(path, error)
            or f"{path} is no classifier of napari-alibi-seg or is damaged ({error}); "
            "save it again, or train another."
        ) from error
    if loaded is None:
        raise ClassifierError(
            f"{path} holds {', '.join(sorted(unsafe))}, which a classifier does not need and "
            "which could run code; it was not loaded, ask its author for another file."
        )
    return loaded


def _from_state(state: Any) -> PixelClassifier:
    header, forest = json.loads(state["header"], object_hook=with_tuples), state["forest"]
    kinds = ExtraTreesClassifier | RandomForestClassifier
    if header["format"] != _FORMAT or not isinstance(forest, kinds):
        raise ValueError(f"expected {_FORMAT!r}")
    projected, missed = state["projection"], header.get("missed", 0.0)
    classifier = PixelClassifier(
        forest=forest,
        classes=tuple(ClassInfo(**fields) for fields in header["classes"]),
        channels=ChannelConfig.saved(header["channels"]),
        projection=None if projected is None else replace(Projection(*projected), missed=missed),
        features=None if header["features"] is None else _identity(header["features"]),
        bands=header["bands"],
        smoothing=header["smoothing"],
        pixel_size=saved_size(header.get("pixel_size")),
        recognised=header.get("recognised"),
    )
    _require_consistent(classifier)
    for estimator in forest.estimators_:
        _require_sound(estimator.tree_, forest.n_features_in_, len(forest.classes_))
    return classifier


def _identity(fields: dict[str, Any]) -> FeatureIdentity:
    backbone = dict(fields["backbone"])
    if backbone["geometry"] is not None:
        backbone["geometry"] = Geometry.from_json(json.dumps(backbone["geometry"]))
    return FeatureIdentity(**{**fields, "backbone": BackboneIdentity(**backbone)})


def _require_consistent(classifier: PixelClassifier) -> None:
    """Reject a header that does not match its forest: the labels would be silently wrong."""
    projection = classifier.projection
    if [info.value for info in classifier.classes] != classifier.forest.classes_.tolist():
        raise ValueError("the classes are not those of the forest")
    if classifier.smoothing not in SMOOTHING_RADII:
        raise ValueError("the radius of the smoothing is out of range")
    if type(classifier.bands) is not int or classifier.bands < 1:
        raise ValueError("the number of bands is not a positive integer")
    if not isinstance(classifier.recognised, bool | None):
        raise ValueError("whether strokes are recognised is neither true nor false")
    if projection is not None and not (
        isinstance(projection.missed, int | float) and 0 <= projection.missed <= 1
    ):
        raise ValueError("the share of variance that is missed is not from 0 to 1")
    if (projection is None) != (classifier.features is None):
        raise ValueError("features and projection do not belong together")
    deep = 0 if projection is None else len(projection.components)
    filtered = count_filters(classifier.channels, classifier.bands)
    if deep + filtered != classifier.forest.n_features_in_:
        raise ValueError("the channels are not those of the forest")


def _require_sound(tree: Any, features: int, classes: int) -> None:
    """Reject a tree that would make scikit-learn, which does not check, read out of bounds."""
    sizes = (tree.n_features, tree.n_outputs, tree.max_n_classes)
    if not 1 <= tree.node_count <= tree.capacity or sizes != (features, 1, classes):
        raise ValueError("a tree does not fit its forest")
    nodes = np.arange(tree.node_count)
    inner = tree.children_left != LEAF
    for children in (tree.children_left, tree.children_right):
        # Children come after their parent, so traversal also terminates.
        if np.any((children <= nodes) & inner) or np.any((children >= tree.node_count) & inner):
            raise ValueError("a tree points outside itself")
    if np.any((tree.feature < 0) & inner) or np.any((tree.feature >= features) & inner):
        raise ValueError("a tree asks for a channel that is not there")
    if _depth(tree, inner) != tree.max_depth:
        raise ValueError("a tree is not as deep as it says")


def _depth(tree: Any, inner: NDArray[np.bool_]) -> int:
    """Return the depth of a tree; `voting` allocates memory by the depth that the file states."""
    level, depth = np.zeros(1, np.intp), 0
    while len(level := level[inner[level]]):
        level = np.unique([tree.children_left[level], tree.children_right[level]])
        depth += 1
    return depth
