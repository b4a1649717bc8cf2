"""Which layers belong to which image, as their metadata tell."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels, Layer

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from napari_alibi_seg.gui.source import ImageSource

_MARK = "napari-alibi-seg"
_OF = "napari-alibi-seg of"
_LEFT = "napari-alibi-seg left"
_SHOWS = "napari-alibi-seg shows"
_BEFORE = "napari-alibi-seg before"
_SELF = "napari-alibi-seg layer"
_WORKED_ON = "napari-alibi-seg worked on"
_CHANGED = ("colormap", "brush_size", "selected_label", "mode")
_GIVEN = ("scribbles on ", "segmentation of ", "uncertainty of ", " probability in ")
_CHANNEL = ", channel"
"""What follows the name of an image where its channels are named (`ImageSource.name`)."""
OWNER = "napari-alibi-seg owner"
"""Metadata of painted layers: their id, and the token of the strokes in their session file."""
SCRIBBLES = {_MARK: "scribbles"}
"""Metadata of a layer made to be painted on."""
_TURNS = count(1)
_OWNERS: WeakKeyDictionary[Labels, tuple[Hashable, str]] = WeakKeyDictionary()
"""`OWNER` of layers of the user that were given back, for the next time they are taken over."""


def scribbles_layer_name(image: str) -> str:
    """Return the name of a layer painted on an image."""
    return f"scribbles on {image}"


def offered_scribbles(layers: Sequence[Layer], source: ImageSource) -> list[Labels]:
    """Return the Labels layers usable for an image: its own first, abandoned ones last."""
    offered = [
        layer
        for layer in layers
        if isinstance(layer, Labels)
        and not layer.multiscale
        and not is_result(layer)
        and not _is_of_another(layer, source, layers)
    ]
    return sorted(
        offered,
        key=lambda layer: (
            not is_linked(layer, source),
            _LEFT in layer.metadata,
            not is_scribbles(layer),
        ),
    )


def own_scribbles(layers: Sequence[Layer], source: ImageSource) -> list[Labels]:
    """Return the scribbles layers that belong to an image, or to none."""
    return [
        layer
        for layer in offered_scribbles(layers, source)
        if is_scribbles(layer)
        and layer.data.shape == source.micrograph.label_shape
        and (is_linked(layer, source) or _OF not in layer.metadata)
    ]


def _is_of_another(layer: Layer, source: ImageSource, layers: Sequence[Layer]) -> bool:
    """Whether a layer belongs to another image, or to another reading of this one."""
    images = image_layers(layers)
    owner = layer.metadata.get(_OF)
    if owner is not None:
        return owner != source.token and owner[0] in [image.unique_id for image in images]
    others = [scribbles_layer_name(image.name) for image in images if image != source.layer]
    named = any(layer.name == other or layer.name.startswith(other + _CHANNEL) for other in others)
    return is_scribbles(layer) and named and layer.name != scribbles_layer_name(source.name)


def follow_name(layer: Layer, before: str, now: str) -> None:
    """Rename a layer after an image's new name, unless the user has renamed it."""
    if has_given_name(layer, before):
        layer.name = layer.name.rpartition(before)[0] + now


def has_given_name(layer: Layer, image: str) -> bool:
    """Whether a layer still has the name this plugin gave it, after an image."""
    beginning, _, more = layer.name.rpartition(image)
    return beginning.endswith(_GIVEN) and (not more or more.startswith(" ["))  # napari numbers them


def link(layer: Layer, source: ImageSource) -> None:
    """Record which image, and which reading of it, a layer belongs to."""
    layer.metadata[_OF] = source.token
    layer.metadata.pop(_LEFT, None)


def owner_of(layer: Layer) -> str | None:
    """Return the token of the strokes of a layer; None if it has none, as a copy of a layer."""
    of, owner = layer.metadata.get(OWNER, (None, None))
    return owner if of == layer.unique_id else None


def take_over(layer: Labels) -> None:
    """Mark a layer as scribbles; for a layer of the user, remember what painting changes."""
    if not is_scribbles(layer):
        layer.metadata[_BEFORE] = {name: getattr(layer, name) for name in _CHANGED}
        layer.metadata.update(SCRIBBLES)
        if layer in _OWNERS:
            layer.metadata[OWNER] = _OWNERS[layer]


def is_taken_over(layer: Layer) -> bool:
    """Whether a scribbles layer is one of the user's own."""
    return _BEFORE in layer.metadata


def give_back(layer: Labels) -> None:
    """Restore a layer as it was before it was taken over, except for strokes and recipe.

    The recipe stays so that the classes keep their names if it is painted on again.
    """
    if is_taken_over(layer):
        for name, value in layer.metadata.pop(_BEFORE).items():
            setattr(layer, name, value)
        if OWNER in layer.metadata:
            _OWNERS[layer] = layer.metadata.pop(OWNER)
        for key in (_MARK, _OF, _LEFT):
            layer.metadata.pop(key, None)


def leave(layer: Layer) -> None:
    """Mark a layer as no longer painted on, although it still belongs to its image."""
    layer.metadata[_LEFT] = True


def is_linked(layer: Layer, source: ImageSource) -> bool:
    """Whether a layer belongs to an image in its present reading."""
    return bool(layer.metadata.get(_OF) == source.token)


def layers_of_image(layers: Sequence[Layer], image: Image) -> list[Layer]:
    """Return strokes and results that belong to an image, however it is read."""
    return [layer for layer in layers if layer.metadata.get(_OF, (None,))[0] == image.unique_id]


def last_reading(
    layers: Sequence[Layer], image: Image
) -> tuple[str, tuple[int, ...] | None] | None:
    """Return axes and channels of an image's strokes, visible ones first; None without any."""
    owners = [
        (layer.visible, layer.metadata[_OF])
        for layer in layers
        if is_scribbles(layer) and layer.metadata.get(_OF, (None,))[0] == image.unique_id
    ]
    if not owners:
        return None
    _, (_, axes, channels) = max(owners, key=lambda owner: owner[0])
    return axes, channels


def note_turn(image: Image) -> None:
    """Record that an image is worked on now."""
    image.metadata[_WORKED_ON] = next(_TURNS)


def image_to_begin_with(images: Sequence[Image], active: Layer | None) -> Image:
    """Choose the image to open when none is.

    It is the active one if visible, else the one last worked on, else the topmost visible one.
    """
    if active is not None and active in images and active.visible:
        return active
    last = max(images, key=_turn)
    seen = [image for image in images if image.visible]
    return last if _turn(last) else [*images, *seen][-1]


def _turn(image: Image) -> int:
    turn: int = image.metadata.get(_WORKED_ON, 0)
    return turn


def image_layers(layers: Sequence[Layer]) -> list[Image]:
    """Return the images that can be segmented: all that this plugin did not make."""
    return [layer for layer in layers if isinstance(layer, Image) and not is_result(layer)]


def is_scribbles(layer: Layer) -> bool:
    """Whether a layer was made, or chosen, to be painted on."""
    return bool(layer.metadata.get(_MARK) == "scribbles")


def is_result(layer: Layer) -> bool:
    """Whether this plugin made a layer to show a result in."""
    return bool(layer.metadata.get(_MARK) == "result")


def mark_result(layer: Layer, source: ImageSource, shows: str | int) -> None:
    """Record that a layer is a result, what it shows, and of which image."""
    layer.metadata.update({_MARK: "result", _SHOWS: shows, _SELF: layer.unique_id})
    link(layer, source)


def is_copy(layer: Layer) -> bool:
    """Whether a layer is a copy of a result layer, made for example to correct it by hand."""
    return is_result(layer) and layer.metadata[_SELF] != layer.unique_id


def shown_in(layer: Layer) -> str | int:
    """Return what a result layer shows."""
    shows: str | int = layer.metadata[_SHOWS]
    return shows
