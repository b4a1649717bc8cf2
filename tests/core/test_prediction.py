from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Event, Thread, get_ident

import numpy as np
import pytest

from napari_alibi_seg import ChannelConfig, SegmentationConfig, Segmenter
from napari_alibi_seg.core.blockwise import Budget
from napari_alibi_seg.core.forest import prediction
from napari_alibi_seg.core.forest.prediction import predictions, strips
from napari_alibi_seg.core.forest.smoothing import smoothed
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.images.windows import Window, blocks
from napari_alibi_seg.core.live.engine import LiveEngine
from napari_alibi_seg.core.live.records import LiveRequest, ResultBlock

CONFIG = SegmentationConfig("classical", channels=ChannelConfig(sigmas=(1.0, 2.5)), trees=7)


@pytest.fixture
def segmenter():
    return Segmenter(CONFIG, "cpu")


@pytest.fixture
def classifier(segmenter, micrograph, scribbles):
    return segmenter.fit(micrograph, scribbles)


@pytest.fixture
def channels(segmenter, classifier, micrograph):
    return segmenter.channels(classifier, planes_of(micrograph)[()])


def predicted(*given):
    return [*chain.from_iterable(found.items() for found in predictions(*given))]


@pytest.mark.parametrize("side", [37, 64, 500])
def test_windows_of_any_place_and_order_are_what_the_whole_plane_has_there(
    classifier, channels, side
):
    whole = Window(0, 0, *channels.shape)
    shares = votes(classifier.forest, channels.block(whole)).astype(np.float32).astype(float)
    expected = smoothed(shares, channels.guide(whole), classifier.smoothing)
    windows = [Window(100, 90, 50, 80), Window(0, 0, 40, 30), Window(40, 71, 23, 1)]

    found = predicted(classifier, channels, windows, side, True)

    assert sorted(window.top for window, _ in found) == [0, 40, 100]
    for window, result in found:
        told = classifier.segmentation(expected[window.slices], None, True)
        np.testing.assert_array_equal(result.probabilities, told.probabilities)
        np.testing.assert_array_equal(result.labels, told.labels)
        np.testing.assert_array_equal(result.sampled, told.probabilities[:, ::4, ::4])
        given = [np.count_nonzero(result.labels[::4, ::4] == info.value) for info in result.classes]
        np.testing.assert_allclose(result.confusion.sum(axis=0), given, rtol=1e-5)


def test_every_pixel_is_voted_on_once(classifier, channels, monkeypatch):
    voted = []
    monkeypatch.setattr(
        prediction, "votes", lambda forest, some: voted.append(some.size) or votes(forest, some)
    )
    found = predicted(classifier, channels, blocks(channels.shape, 40), 40)
    assert len(found) == len(blocks(channels.shape, 40))
    assert sum(voted) == channels.block(Window(0, 0, *channels.shape)).size


def test_votes_are_kept_for_few_rows_of_blocks_and_then_released(classifier, channels):
    windows = blocks(channels.shape, 40)  # 4 rows of 5
    kept = prediction._Votes(classifier, channels, windows, 40, False)
    most = 0
    for block in kept.wanted:
        kept.add(block)
        most = max(most, len(kept._kept))
    assert most <= 3 * 5
    assert not kept._kept


@pytest.mark.parametrize("classes", [2, 20, 500])
def test_strips_are_the_blocks_of_the_plane_and_narrow_for_many_classes(classes):
    found = strips((3000, 9000), 512, classes)
    assert len([*chain(*found)]) == len(blocks((3000, 9000), 512))
    assert {*chain(*found)} == {*blocks((3000, 9000), 512)}
    across = len({window.left for window in found[0]})
    assert 3 * across * 512**2 * 4 * classes <= 200e6 or across == 1


def test_more_than_the_budget_waits_or_goes_alone():
    budget, entered = Budget(10), Event()

    def take(size):
        with budget.taken(size):
            entered.set()

    with budget.taken(4), budget.taken(6):
        waiting = Thread(target=take, args=(1,))
        waiting.start()
        assert not entered.wait(0.1)
    waiting.join(10)
    assert entered.is_set()
    take(11)


def test_planes_classified_at_once_share_one_budget(
    segmenter, classifier, micrograph, scribbles, monkeypatch
):
    inside, most = set(), []
    window = Window(0, 0, *micrograph.shape_yx)
    request = LiveRequest(micrograph, scribbles, CONFIG, ((),), window, classifier=classifier)

    def applied():
        return dict(segmenter.apply(classifier, micrograph))[()].labels

    def live():
        labels = np.zeros(scribbles.shape, np.uint8)
        for event in LiveEngine("cpu").update(request):
            if isinstance(event, ResultBlock):
                labels[event.window.slices] = event.result.labels
        return labels

    def watched(forest, values):
        inside.add(get_ident())
        most.append(len(inside))
        found = votes(forest, values)
        inside.remove(get_ident())
        return found

    expected = applied()
    monkeypatch.setattr(prediction, "_BLOCKS", Budget(1))
    monkeypatch.setattr(prediction, "votes", watched)
    monkeypatch.setattr("napari_alibi_seg.core.segmentation.BLOCK", 37)
    monkeypatch.setattr("napari_alibi_seg.core.live.engine._SIDES", (37,))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda classify: classify(), [applied, live] * 2))
    assert max(most) == 1
    assert all(np.array_equal(labels, expected) for labels in results)
