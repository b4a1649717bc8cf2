from dataclasses import replace

import numpy as np
import pytest

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.config import SegmentationConfig
from napari_alibi_seg.core.errors import ClassifierError, ScribbleError
from napari_alibi_seg.core.forest.training import training_forest
from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.judging.judge import assess
from napari_alibi_seg.core.live.engine import LiveEngine
from napari_alibi_seg.core.live.records import Advice, LiveRequest
from napari_alibi_seg.core.segmentation import Segmenter

DEEP = SegmentationConfig(scale=1, trees=20)
QUICK = SegmentationConfig(CLASSICAL, trees=20)


def assessed(image, scribbles, config, ignored=frozenset()):
    segmenter = Segmenter(config, "cpu")
    classifier = segmenter.fit(image, scribbles, ignored=ignored)
    return assess(segmenter, classifier, image, scribbles, ignored)


@pytest.mark.parametrize("config", [DEEP, QUICK])
def test_a_plane_is_assessed_as_in_the_window(micrograph, scribbles, config):
    scribbles[:20, 100:] = 9
    ignored, all_of_it = frozenset({9}), Window(0, 0, *micrograph.shape_yx)
    request = LiveRequest(
        micrograph, scribbles, config, ((),), all_of_it, ignored=ignored, advise=True
    )
    told = [event for event in LiveEngine("cpu").update(request) if isinstance(event, Advice)]

    assert assessed(micrograph, scribbles, config, ignored) == {(): told[-1].assessment}


def test_only_planes_that_are_painted_are_assessed(micrograph_pixels, scribbles):
    stack = as_micrograph(np.stack([micrograph_pixels] * 3), "ZYX")
    painted = np.zeros(stack.label_shape, np.uint8)
    painted[1] = scribbles
    assert set(assessed(stack, painted, QUICK)) == {(1,)}


def test_strokes_are_held_out_once_for_all_planes(micrograph_pixels, scribbles, monkeypatch):
    stack = as_micrograph(np.stack([micrograph_pixels, micrograph_pixels[::-1]]), "ZYX")
    painted, trained = np.stack([scribbles, scribbles[::-1]]), []

    def noted(config, samples, projection):
        trained.append(config.trees)
        return training_forest(config, samples, projection)

    monkeypatch.setattr("napari_alibi_seg.core.judging.judge.training_forest", noted)
    expected = assessed(stack, painted, QUICK)
    assert expected.keys() == {(0,), (1,)}
    assert trained == [QUICK.trees] * 15  # never more than the classifier has

    engine, window = LiveEngine("cpu"), Window(0, 0, *stack.shape_yx)
    for index in expected:  # one after the other, as when the user moves through the stack
        request = LiveRequest(stack, painted, QUICK, (index,), window, advise=True)
        *_, told = engine.update(request)
        assert told.assessment == expected[index]
    assert len(trained) == 30


def test_where_no_piece_can_be_left_out_nothing_is_told(micrograph, scribbles):
    one = np.where(scribbles == 1, scribbles, 0)
    one[4, 4] = 3
    assert assessed(micrograph, one, replace(QUICK, trees=10)) == {}


def test_a_plane_of_which_no_pixel_looked_at_has_data_is_not_assessed(micrograph_pixels):
    pixels = np.full(micrograph_pixels.shape, np.nan, np.float32)
    pixels[1::2, 1::2] = micrograph_pixels[1::2, 1::2]
    painted = np.zeros(pixels.shape, np.uint8)
    painted[1:20:2, 1::2], painted[101:120:2, 1::2] = 1, 2
    assert assessed(as_micrograph(pixels), painted, replace(QUICK, trees=10)) == {}


@pytest.mark.parametrize("config", [DEEP, QUICK])
def test_what_is_the_same_everywhere_is_not_assessed(scribbles, config):
    same = as_micrograph(np.full(scribbles.shape, 7, np.uint8))
    assert assessed(same, scribbles, replace(config, trees=10)) == {}
    window = Window(0, 0, *scribbles.shape)
    asked = LiveRequest(same, scribbles, config, ((),), window, advise=True)
    told = [event for event in LiveEngine("cpu").update(asked) if isinstance(event, Advice)]
    assert [event.assessment for event in told] == [None]


@pytest.mark.parametrize(
    ("of_dark", "more", "classes"), [(2, 0, "classes 1, 2"), (3, 4, "classes 1, 3, 4")]
)
def test_a_classifier_of_other_classes_is_not_assessed(
    micrograph, scribbles, of_dark, more, classes
):
    other = np.where(scribbles == 3, of_dark, scribbles)
    other[0, 1] = more
    segmenter = Segmenter(replace(QUICK, trees=10), "cpu")
    classifier = segmenter.fit([micrograph] * 2, [scribbles * (scribbles == 1), other])
    with pytest.raises(ScribbleError, match=f"hold classes 1, 3, .* on {classes}; .*train another"):
        assess(segmenter, classifier, micrograph, scribbles)
    with pytest.raises(ScribbleError, match=f"hold no classes, .* on {classes};"):
        assess(segmenter, classifier, micrograph, 0 * scribbles)


def test_classes_that_are_ignored_or_without_data_are_not_missed(patchy, scribbles):
    scribbles[:20, 100:], scribbles[100:140, 5:50] = 9, 4
    assert set(assessed(patchy, scribbles, replace(QUICK, trees=10), frozenset({9}))) == {()}


def test_scribbles_that_do_not_fit_the_image_are_refused_as_in_training(micrograph, scribbles):
    segmenter = Segmenter(QUICK, "cpu")
    classifier = segmenter.fit(micrograph, scribbles)
    for wrong, said in ((scribbles[1:], "have shape"), (scribbles / 1, "of type float64")):
        with pytest.raises(ScribbleError, match=said):
            assess(segmenter, classifier, micrograph, wrong)


def test_only_a_classifier_is_assessed(micrograph, scribbles):
    with pytest.raises(ClassifierError, match="load_classifier"):
        assess(Segmenter(QUICK), "c.skops", micrograph, scribbles)
