import numpy as np

from napari_alibi_seg.core.classifier import ClassInfo, Segmentation
from napari_alibi_seg.core.overlay import fractions, overlay_picture
from napari_alibi_seg.core.planes import Levels, Plane

MATRIX, PORE = ClassInfo(1, "matrix", (250, 0, 0)), ClassInfo(4, "pore", (0, 0, 250))


def test_the_picture_shows_scribbles_on_the_left_and_classes_on_the_right():
    labels = np.full((60, 80), 1, np.uint8)
    labels[:, 40:] = 4
    scribbles = np.zeros_like(labels)
    scribbles[30, 10] = 4
    plane = Plane(np.full((60, 80), 90, np.uint8), Levels(0, 255))
    segmentation = Segmentation(labels, None, (MATRIX, PORE))
    page = np.asarray(overlay_picture(plane, scribbles, segmentation))
    left, right = page[12:72, 12:92], page[12:72, 104:184]
    assert left[30, 10].tolist() == [0, 0, 250]
    assert left[20, 20].tolist() == [90, 90, 90]
    assert right[20, 20, 0] > right[20, 20, 2]
    assert right[20, 70, 2] > right[20, 70, 0]
    assert right[20, 40].tolist() == [0, 0, 250]


def test_fractions_are_shares_of_what_has_a_class():
    labels = np.array([[1, 1, 4, 0, 1]], np.uint8)  # one pixel without data
    assert fractions(Segmentation(labels, None, (MATRIX, PORE))) == {MATRIX: 0.75, PORE: 0.25}
