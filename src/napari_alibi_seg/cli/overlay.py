"""Draw a segmentation over its image, for judging it by eye."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from napari_alibi_seg.core.images.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.judging.fractions import ClassFraction

_TINT = 0.4
_GAP = 12
_TEXT = 16
_PAPER = (255, 255, 255)
_INK = (30, 30, 30)


def overlay_picture(
    plane: Plane,
    scribbles: NDArray[np.integer[Any]],
    segmentation: Segmentation,
    measured: Sequence[ClassFraction],
) -> Image.Image:
    """Draw the scribbled image beside its segmentation, with a legend of area fractions.

    Parameters
    ----------
    plane : Plane
        The image, (Y, X).
    scribbles : ndarray
        (Y, X) integers, 0 = not painted.
    segmentation : Segmentation
        Segmentation of the whole plane.
    measured : sequence of ClassFraction
        Area fraction of each class, in the order of `segmentation.classes`.

    Returns
    -------
    PIL.Image.Image
        RGB; both panels have the plane's resolution.
    """
    height, width = plane.shape
    grey = np.clip(plane.read(Window(0, 0, height, width)), 0, 1).mean(axis=-1, keepdims=True)
    picture = np.repeat(255 * grey, 3, axis=-1)
    painted = _painted(scribbles, segmentation.classes)
    marked = np.where(scribbles[..., None] > 0, painted, picture)
    colours = _painted(segmentation.labels, segmentation.classes)
    tinted = (1 - _TINT) * picture + _TINT * colours
    edges = find_boundaries(segmentation.labels, mode="inner")
    tinted[edges] = colours[edges]
    page = Image.new("RGB", (2 * width + 3 * _GAP, height + 4 * _GAP + _TEXT), _PAPER)
    for column, panel in enumerate((marked, tinted)):
        image = Image.fromarray(panel.round().astype(np.uint8))
        page.paste(image, (_GAP + column * (width + _GAP), _GAP))
    _draw_legend(ImageDraw.Draw(page), height + 2 * _GAP, segmentation.classes, measured)
    return page


def _painted(labels: NDArray[Any], classes: Sequence[ClassInfo]) -> NDArray[np.float64]:
    painted = np.zeros((*labels.shape, 3))
    for info in classes:
        painted[labels == info.value] = info.colour
    return painted


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    top: int,
    classes: Sequence[ClassInfo],
    measured: Sequence[ClassFraction],
) -> None:
    font = ImageFont.load_default(_TEXT)
    left = float(_GAP)
    for info, share in zip(classes, measured, strict=True):
        draw.rectangle((left, top, left + _TEXT, top + _TEXT), fill=info.colour, outline=_INK)
        text = f"{info.name}  {100 * (share.fraction or 0):.1f} %"
        draw.text((left + 1.5 * _TEXT, top - 2), text, fill=_INK, font=font)
        left += 1.5 * _TEXT + draw.textlength(text, font=font) + 2 * _GAP
