"""Clean up what is left of images that were removed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_alibi_seg.gui.ownership import (
    give_back,
    is_scribbles,
    is_taken_over,
    layers_of_image,
)
from napari_alibi_seg.gui.painting import is_blank
from napari_alibi_seg.gui.words import left_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from napari.layers import Image, Layer

    from napari_alibi_seg.gui.strip import Strip


def clear_up(removed: Sequence[Image], layers: LayerList, strip: Strip) -> None:
    """Restore, remove, or offer to remove the layers of removed images.

    Parameters
    ----------
    removed : sequence of Image
        Images that were removed.
    layers : LayerList
        The layers of the viewer.
    strip : Strip
        Shows the offer.
    """
    left = {image: _left_of(image, layers) for image in removed}
    kept = [layer for those in left.values() for layer in those]
    if kept:
        images = [image.name for image, those in left.items() if those]
        strip.say(
            left_words(images, [layer.name for layer in kept]),
            ("Remove too", partial(_remove, kept, layers)),
            holds=lambda: any(layer in layers for layer in kept),
            waits=True,
        )


def _left_of(image: Image, layers: LayerList) -> list[Layer]:
    """Return the layers left of a removed image, without the user's own and blank ones."""
    kept = []
    for layer in layers_of_image(layers, image):
        if is_taken_over(layer):
            give_back(layer)
        elif is_scribbles(layer) and is_blank(layer):
            layers.remove(layer)
        else:
            kept.append(layer)
    return kept


def _remove(unwanted: Sequence[Layer], layers: LayerList) -> None:
    for layer in unwanted:
        if layer in layers:
            layers.remove(layer)
