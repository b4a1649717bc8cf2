import gc
from dataclasses import replace
from itertools import islice, takewhile
from weakref import ref

import numpy as np
import pytest

from napari_alibi_seg.core.channels.filters import count_filters, pixel_filters
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels, Projection
from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.errors import AlibiSegError, ScribbleError
from napari_alibi_seg.core.forest.prediction import predictions
from napari_alibi_seg.core.forest.result import Segmentation
from napari_alibi_seg.core.forest.scribbles import ScribbleCounts, same_scribbles
from napari_alibi_seg.core.forest.smoothing import support
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.micrograph import as_micrograph, planes_of
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.live import channels as live_channels
from napari_alibi_seg.core.live import features as live_features
from napari_alibi_seg.core.live.blocks import visible_blocks
from napari_alibi_seg.core.live.cached_channels import CachedChannels
from napari_alibi_seg.core.live.channels import LiveChannels
from napari_alibi_seg.core.live.coarse import (
    coarse_config,
    coarse_step,
    downsampling_factor,
    magnified,
)
from napari_alibi_seg.core.live.downsampled import BlockMeans
from napari_alibi_seg.core.live.engine import LiveEngine
from napari_alibi_seg.core.live.records import (
    Advice,
    ClassifierReady,
    FeatureProgress,
    LiveRequest,
    PlaneDone,
    ResultBlock,
    Step,
)
from napari_alibi_seg.core.segmentation import Segmenter, segment

DEEP = SegmentationConfig(scale=1, trees=20)
QUICK = SegmentationConfig(CLASSICAL, trees=20)
CONTRASTLESS = ChannelConfig(components=8, contrast=0)


@pytest.fixture
def request_of(micrograph, scribbles):
    def made(config=QUICK, **changes):
        rows, columns = micrograph.shape_yx
        plain = LiveRequest(micrograph, scribbles, config, ((),), Window(0, 0, rows, columns))
        return replace(plain, **changes)

    return made


def painted_by(events, shape):
    labels = np.zeros(shape, np.uint8)
    for event in events:
        if isinstance(event, ResultBlock):
            labels[(*event.plane, *event.window.slices)] = event.result.labels
    return labels


def classifier_from(events):
    [fitted] = [event for event in events if isinstance(event, ClassifierReady)]
    return fitted.classifier


@pytest.mark.parametrize("config", [DEEP, QUICK])
@pytest.mark.parametrize("brightest", [1, 2])
def test_the_engine_gives_what_segment_gives(
    request_of, micrograph_pixels, scribbles, config, brightest
):
    image = as_micrograph(micrograph_pixels * np.linspace(1, brightest, scribbles.shape[1]))
    scribbles[66:78, 20:60] = 3  # a wide stroke, whose margins do not train
    events = LiveEngine("cpu").update(request_of(config, image=image))

    expected = segment(image, scribbles, config, "cpu")

    np.testing.assert_array_equal(painted_by(events, scribbles.shape), expected.labels)


def test_the_engine_trains_what_fit_trains(request_of, micrograph, scribbles):
    image = replace(micrograph, pixel_size=PixelSize("nm", None, 5.0, 5.0))

    live = classifier_from(LiveEngine("cpu").update(request_of(QUICK, image=image)))

    fitted = Segmenter(QUICK, "cpu").fit(image, scribbles)
    assert replace(live, forest=None) == replace(fitted, forest=None)


def test_final_blocks_have_the_probabilities_that_segment_gives(request_of, micrograph, scribbles):
    events = LiveEngine("cpu").update(replace(request_of(QUICK), probabilities=True))
    shown = [event for event in events if isinstance(event, ResultBlock)]

    probable = segment(micrograph, scribbles, QUICK, "cpu").probabilities
    assert {block.final for block in shown} == {False, True}
    for block in shown:
        expected = probable[:, *block.window.slices] if block.final else None
        np.testing.assert_array_equal(block.result.probabilities, expected)


def test_one_more_stroke_gives_what_a_new_engine_gives(request_of, scribbles):
    engine = LiveEngine("cpu")
    list(engine.update(request_of()))
    more = scribbles.copy()
    more[70, 20:60] = 3

    followed = painted_by(engine.update(request_of(scribbles=more)), scribbles.shape)

    anew = painted_by(LiveEngine("cpu").update(request_of(scribbles=more)), scribbles.shape)
    np.testing.assert_array_equal(followed, anew)


def test_features_of_an_image_that_was_left_are_not_computed_again(request_of, micrograph):
    engine, again = LiveEngine("cpu"), replace(micrograph, spacing=2.0)
    other = as_micrograph(255 - micrograph.data)
    begun = []
    for image in (micrograph, other, micrograph, again):
        events = engine.update(request_of(DEEP, image=image))
        begun.append(next(event for event in events if isinstance(event, FeatureProgress)).done)
        list(events)
    assert begun == [0, 0, 1, 1]


@pytest.mark.parametrize(("room", "last"), [(1.5, 1), (2.5, 2), (9, 3)])
def test_planes_that_were_looked_at_last_keep_their_blocks(monkeypatch, room, last):
    stack = np.random.default_rng(0).random((3, 40, 50), np.float32)
    channels, planes, window = LiveChannels(), ((0,), (1,), (2,)), Window(0, 0, 40, 50)
    channels.open(planes_of(as_micrograph(stack, "ZYX")))
    plane_bytes = 40 * 50 * 4 * count_filters(QUICK.channels, 1)
    monkeypatch.setattr(live_channels, "CACHED_BYTES", room * plane_bytes)

    for _ in range(2):
        for index in planes:
            of_plane = channels.of(index, QUICK.channels, None, None, 0)
            channels.look_at(index, window)
            of_plane.block(window)

        kept = [index for index in planes if channels.filtered(index, QUICK.channels, 0).bytes]
        assert kept == [*planes[-last:]]


def test_coarse_comes_before_fine_and_what_is_visible_before_the_rest():
    rng = np.random.default_rng(0)
    image = as_micrograph(rng.random((600, 600), np.float32))
    painted = np.zeros((600, 600), np.uint8)
    painted[5, :20], painted[300, :20] = 1, 2
    visible = Window(400, 400, 100, 100)
    config = replace(QUICK, channels=ChannelConfig(sigmas=(1.4,)))

    events = list(LiveEngine("cpu").update(LiveRequest(image, painted, config, ((),), visible)))

    shown = [event for event in events if isinstance(event, ResultBlock)]
    assert [block.final for block in shown] == sorted(block.final for block in shown)
    fine = [block for block in shown if block.final]
    assert fine[0].window == Window(256, 256, 256, 256)
    assert sum(block.result.labels.size for block in fine) == 600 * 600
    assert [block.window for block in shown if not block.final] == [fine[0].window]


def test_without_two_classes_there_are_features_and_no_result(request_of, scribbles):
    one = np.where(scribbles == 1, scribbles, 0)

    events = list(LiveEngine("cpu").update(request_of(DEEP, scribbles=one)))

    assert not any(isinstance(event, ResultBlock | ClassifierReady) for event in events)
    progress = [event for event in events if isinstance(event, FeatureProgress)]
    assert progress[-1].done == progress[-1].total
    assert progress[0].seconds_left > progress[-1].seconds_left == 0


@pytest.fixture
def fits(monkeypatch):
    """The projections that were fitted."""
    fitted, fit = [], Projection.fit

    def noted(*given):
        fitted.append(fit(*given))
        return fitted[-1]

    monkeypatch.setattr(Projection, "fit", noted)
    return fitted


def test_features_are_projected_before_the_first_stroke(request_of, scribbles, fits):
    engine = LiveEngine("cpu")
    list(engine.update(request_of(DEEP, scribbles=np.zeros_like(scribbles))))
    [projection] = fits

    assert classifier_from(engine.update(request_of(DEEP))).projection is projection
    assert fits == [projection]


def test_settings_of_the_forest_leave_the_projection(request_of, fits):
    engine = LiveEngine("cpu")
    first = classifier_from(engine.update(request_of(DEEP)))
    for changed in (replace(DEEP, trees=30), replace(DEEP, seed=1, smoothing=2)):
        assert classifier_from(engine.update(request_of(changed))).projection is first.projection
    other = replace(DEEP, channels=replace(DEEP.channels, components=3))
    assert classifier_from(engine.update(request_of(other))).projection is not first.projection
    assert len(fits) == 2


def request_of_five_planes():
    """A stack painted on its first plane, with deep features."""
    stack = np.random.default_rng(0).random((5, 40, 50), np.float32)
    painted = np.zeros(stack.shape, np.uint8)
    painted[0, 5, :20], painted[0, 30, :20] = 1, 2
    planes = tuple((z,) for z in range(5))
    return LiveRequest(as_micrograph(stack, "ZYX"), painted, DEEP, planes, Window(0, 0, 40, 50))


def test_of_many_planes_neither_the_features_nor_their_projections_are_all_kept(monkeypatch):
    monkeypatch.setattr(live_features, "FEATURE_BYTES", 1)
    monkeypatch.setattr(live_features, "EARLIER_FEATURE_BYTES", 1)
    monkeypatch.setattr(live_channels, "PROJECTED_BYTES", 1)
    monkeypatch.setattr(live_channels, "CACHED_BYTES", 1)
    made = []
    init = PixelChannels.__init__

    def noted(self, plane, config, features=None, projection=None):
        init(self, plane, config, features, projection)
        made.extend(map(ref, () if features is None else (features.tokens, self._tokens)))

    monkeypatch.setattr(PixelChannels, "__init__", noted)
    request = request_of_five_planes()

    engine = LiveEngine("cpu")
    list(engine.update(request))

    gc.collect()
    assert len(made) >= 10
    assert len([one for one in made if one() is not None]) <= 4  # of the painted and last planes


def test_another_view_of_a_stack_computes_no_features_of_finished_planes_again(monkeypatch):
    monkeypatch.setattr(live_features, "EARLIER_FEATURE_BYTES", 1)
    request, engine = request_of_five_planes(), LiveEngine("cpu")
    events = list(engine.update(replace(request, planes=request.planes[:1])))
    [size, *_] = [1e6 * one.megabytes for one in events if isinstance(one, FeatureProgress)]
    monkeypatch.setattr(live_features, "FEATURE_BYTES", 2.5 * size)
    first = {}
    for event in engine.update(request):
        if isinstance(event, PlaneDone):
            first[event.plane] = event
        if len(first) == 4:
            break

    again = list(engine.update(replace(request, planes=((1,), (0,), (2,), (3,), (4,)))))

    computed = {one.plane for one in again if isinstance(one, FeatureProgress) and not one.done}
    done = [event for event in again if isinstance(event, PlaneDone)]
    assert computed == {(1,), (4,)}
    assert [one.plane for one in done] == [(1,), (0,), (2,), (3,), (4,)]
    assert all(one.pixels == first[one.plane].pixels for one in done[:-1])


def test_a_loaded_classifier_waits_for_the_features_of_the_displayed_plane_only():
    request = replace(request_of_five_planes(), planes=((2,),))
    classifier = classifier_from(LiveEngine("cpu").update(request))

    events = list(LiveEngine("cpu").update(replace(request, classifier=classifier)))

    computed = {event.plane for event in events if isinstance(event, FeatureProgress)}
    assert computed == {(2,)}


def test_an_abandoned_request_is_gone_on_with(request_of, micrograph):
    engine = LiveEngine("cpu")
    wide = replace(DEEP, scale=3)
    begun = engine.update(request_of(wide, predict=False))
    for event in begun:
        if isinstance(event, FeatureProgress) and event.done == 1:
            break
    begun.close()

    events = list(engine.update(request_of(wide)))

    progress = [event for event in events if isinstance(event, FeatureProgress)]
    assert progress[0].done == 1
    assert progress[0].total > 1
    assert isinstance(events[-1], PlaneDone)
    preliminary = next(event for event in events if isinstance(event, ResultBlock))
    assert not preliminary.final


def test_a_final_result_of_the_same_strokes_stays_while_other_features_come(request_of, scribbles):
    engine = LiveEngine("cpu")
    list(engine.update(request_of(DEEP)))
    more = scribbles.copy()
    more[70, 20:60] = 3

    def told_before_the_features(scale, scribbles):
        events = engine.update(request_of(replace(DEEP, scale=scale), scribbles=scribbles))
        coming = takewhile(lambda e: not (isinstance(e, FeatureProgress) and e.done), events)
        return any(isinstance(event, ResultBlock) for event in coming)

    assert not told_before_the_features(2, scribbles)
    assert told_before_the_features(3, more)
    assert told_before_the_features(4, scribbles)  # the other strokes' is shown by now


def test_a_loaded_classifiers_result_does_not_pass_for_that_of_the_strokes(
    micrograph_pixels, scribbles
):
    stack = as_micrograph(np.stack([micrograph_pixels] * 2), "ZYX")
    painted, planes = np.stack([scribbles] * 2), ((0,), (1,))
    visible = Window(0, 0, *stack.shape_yx)
    request = LiveRequest(stack, painted, QUICK, planes, visible)
    engine = LiveEngine("cpu")
    fitted = [event for event in engine.update(request) if isinstance(event, ClassifierReady)]
    list(engine.update(replace(request, classifier=fitted[-1].classifier)))

    events = engine.update(replace(request, config=DEEP, planes=planes[1:]))

    coming = takewhile(lambda e: not (isinstance(e, FeatureProgress) and e.done), events)
    assert any(isinstance(event, ResultBlock) for event in coming)


@pytest.mark.parametrize("left_at", [0, 1, 2])
def test_a_request_can_be_left_while_its_forests_grow(request_of, scribbles, left_at):
    engine, some = LiveEngine("cpu"), request_of()
    begun = engine.update(some)
    growing = (event for event in begun if isinstance(event, Step))
    assert next(islice(growing, left_at, None))
    begun.close()
    more = scribbles.copy()
    more[70, 20:60] = 3

    followed = painted_by(engine.update(request_of(scribbles=more)), scribbles.shape)

    anew = painted_by(LiveEngine("cpu").update(request_of(scribbles=more)), scribbles.shape)
    np.testing.assert_array_equal(followed, anew)


def test_a_change_of_view_classifies_nothing_twice(request_of):
    engine = LiveEngine("cpu")
    first = list(engine.update(request_of()))

    again = list(engine.update(request_of(visible=Window(0, 0, 20, 20))))

    assert any(isinstance(event, ResultBlock) for event in first)
    assert not any(isinstance(event, ResultBlock) for event in again)
    assert again[-1] == first[-1]


@pytest.mark.parametrize("loaded", [False, True])
def test_a_final_result_is_not_followed_by_a_coarse_one_of_the_same_forest(request_of, loaded):
    engine = LiveEngine("cpu")
    trained = classifier_from(engine.update(request_of()))
    request = request_of(classifier=trained if loaded else None)
    list(engine.update(request))

    again = replace(request, generation=1, probabilities=True)
    blocks = [event for event in engine.update(again) if isinstance(event, ResultBlock)]

    assert blocks
    assert all(block.final for block in blocks)


def test_an_undone_stroke_leaves_no_coarse_result(request_of, scribbles):
    engine = LiveEngine("cpu")
    list(engine.update(request_of()))
    more = scribbles.copy()
    more[70, 20:60] = 3
    events = engine.update(request_of(scribbles=more, generation=1))
    next(event for event in events if isinstance(event, ResultBlock))
    events.close()

    undone = engine.update(request_of(generation=2))
    assert not next(event for event in undone if isinstance(event, ResultBlock)).final


def test_undo_redo_and_undo_leave_nothing_of_the_redone_stroke(request_of, scribbles):
    engine, more = LiveEngine("cpu"), scribbles.copy()
    more[60:70, 10:80] = 1
    expected = painted_by(engine.update(request_of()), scribbles.shape)
    list(engine.update(request_of(scribbles=more)))
    list(engine.update(request_of()))
    shown = expected.copy()
    redone = engine.update(request_of(scribbles=more))
    block = next(event for event in redone if isinstance(event, ResultBlock))
    shown[block.window.slices] = block.result.labels
    redone.close()
    assert (shown != expected).any()

    for event in engine.update(request_of()):
        if isinstance(event, ResultBlock):
            shown[event.window.slices] = event.result.labels

    np.testing.assert_array_equal(shown, expected)


def test_ignored_pixels_become_zero_and_are_not_counted(request_of, scribbles):
    ignoring = scribbles.copy()
    ignoring[:10] = 7

    events = list(LiveEngine("cpu").update(request_of(scribbles=ignoring, ignored=frozenset({7}))))

    labels = painted_by(events, scribbles.shape)
    np.testing.assert_array_equal(labels == 0, ignoring == 7)
    assert events[-1].pixels.keys() == {1, 3}
    assert sum(events[-1].pixels.values()) == (ignoring != 7).sum()


def test_what_is_painted_meanwhile_does_not_change_an_assessment(request_of, scribbles):
    quiet = list(LiveEngine("cpu").update(request_of(advise=True)))
    drawn, events = scribbles.copy(), []

    for event in LiveEngine("cpu").update(request_of(advise=True, scribbles=drawn)):
        events.append(event)
        if isinstance(event, Step) and any(isinstance(e, PlaneDone) for e in events):
            drawn[:] = 1

    assert quiet[-1].spots
    assert events[-1].spots == quiet[-1].spots
    assert events[-1].assessment == quiet[-1].assessment


@pytest.mark.parametrize("config", [DEEP, QUICK])
def test_pixels_without_data_are_never_classified_counted_or_suggested(patchy, scribbles, config):
    missing = ~np.isfinite(patchy.data)
    scribbles[100:140, 5:50] = 3
    window = Window(0, 0, *patchy.shape_yx)
    asked = LiveRequest(patchy, scribbles, config, ((),), window, advise=True)

    events = list(LiveEngine("cpu").update(asked))

    for event in events:
        if isinstance(event, ResultBlock):
            np.testing.assert_array_equal(
                event.result.labels == 0, missing[event.window.slices], strict=True
            )
    expected = segment(patchy, scribbles, config, "cpu").labels
    np.testing.assert_array_equal(painted_by(events, scribbles.shape), expected)
    [done] = [event for event in events if isinstance(event, PlaneDone)]
    assert sum(done.pixels.values()) == (~missing).sum()
    assert sum(events[0].pixels.values()) == np.count_nonzero(scribbles[~missing])
    assert events[-1].spots
    assert not any(missing[spot.row, spot.column] for spot in events[-1].spots)
    assert events[-1].assessment is not None


def test_strokes_are_counted_by_class_and_plane(micrograph_pixels):
    image = as_micrograph(np.stack([micrograph_pixels] * 2), "ZYX")
    painted = np.zeros(image.label_shape, np.uint8)
    painted[0, 5, 5:9], painted[0, 9, 5:9], painted[1, 5, 5:9] = 1, 1, 2
    window = Window(0, 0, *image.shape_yx)

    told = next(LiveEngine("cpu").update(LiveRequest(image, painted, QUICK, ((0,),), window)))

    assert told == ScribbleCounts({1: 8, 2: 4}, 3)


def test_painted_planes_are_the_same_if_they_hold_the_same():
    one = {(): np.zeros((9, 9), np.uint8)}
    one[()][2, 3:6] = 1
    moved, other, more = (one[()].copy() for _ in range(3))
    moved[2, 3], moved[2, 6] = 0, 1
    other[2, 3] = 2
    more[0, 0] = 1

    assert same_scribbles(one, {(): one[()].copy()})
    assert not any(same_scribbles(one, {(): unlike}) for unlike in (moved, other, more))
    assert not same_scribbles(one, {(0,): one[()]})


def test_a_loaded_classifiers_result_is_never_preceded_by_one_of_the_strokes(request_of, scribbles):
    other = np.where(scribbles, scribbles + 4, 0)
    classifier = classifier_from(LiveEngine("cpu").update(request_of(DEEP, scribbles=other)))

    events = list(LiveEngine("cpu").update(request_of(DEEP, classifier=classifier)))

    shown = [event.result.labels for event in events if isinstance(event, ResultBlock)]
    assert set(np.unique(np.concatenate([some.ravel() for some in shown]))) == {5, 7}


def test_classifiers_are_applied_to_features_of_their_own_only(request_of, micrograph):
    classifier = classifier_from(LiveEngine("cpu").update(request_of()))

    with pytest.raises(AlibiSegError, match="trained on features"):
        list(LiveEngine("cpu").update(request_of(DEEP, classifier=classifier)))


@pytest.fixture(scope="module")
def plane(micrograph_pixels):
    return Plane(micrograph_pixels, Levels(0, 255))


SIGMAS = (0.7, 2.8)
WINDOW = Window(0, 0, 100, 100)


def test_remembered_channels_are_the_channels(plane):
    channels = PixelChannels(plane, ChannelConfig(sigmas=SIGMAS))
    remembered = CachedChannels(plane, ChannelConfig(sigmas=SIGMAS), limit=1e9, deep_count=8)
    rng = np.random.default_rng(1)
    some, more = (np.sort(rng.choice(plane.data.size, n, replace=False)) for n in (30, 90))

    for flat in (some, np.union1d(some, more)):
        rows, columns = np.divmod(flat, plane.shape[1])
        expected = channels.points(rows, columns)
        np.testing.assert_array_equal(remembered.points(rows, columns), expected)
        np.testing.assert_array_equal(remembered.block(WINDOW), channels.block(WINDOW))


@pytest.mark.parametrize("expected", [4, 8])
def test_deep_channels_are_remembered_until_there_are_others(plane, extractor, expected):
    features = extractor.extract(plane, 1)
    config = ChannelConfig(components=8, sigmas=SIGMAS)
    remembered = CachedChannels(plane, config, limit=1e9, deep_count=expected)
    for space in (Projection.fit([features], config), Projection.fit([features], CONTRASTLESS)):
        deep = PixelChannels(plane, replace(config, sigmas=()), features, space)
        joined = PixelChannels(plane, config, features, space).block(WINDOW)
        for _ in range(2):
            np.testing.assert_array_equal(remembered.block(WINDOW, deep), joined)
        np.testing.assert_array_equal(remembered.block(WINDOW), joined[..., 8:])
    superseded = ref(deep)
    del deep
    assert superseded() is None


def test_the_engine_refuses_as_many_classes_as_the_segmenter_does():
    image = as_micrograph(np.random.default_rng(0).random((70, 80)))
    painted = np.repeat(np.arange(70, dtype=np.uint8), 80).reshape(70, 80)
    request = LiveRequest(image, painted, QUICK, ((),), Window(0, 0, 70, 80))
    with pytest.raises(ScribbleError, match="at most 64"):
        list(LiveEngine("cpu").update(request))


def test_blocks_near_what_is_looked_at_are_remembered(plane):
    one = PixelChannels(plane, ChannelConfig(sigmas=SIGMAS)).block(Window(0, 0, 50, 50))
    remembered = CachedChannels(plane, ChannelConfig(sigmas=SIGMAS), limit=2.5 * one.nbytes)
    remembered.look_at(Window(0, 0, 50, 50))
    for left in (0, 50, 100):
        remembered.block(Window(0, left, 50, 50))
    assert remembered.full
    assert [window.left for window in remembered._blocks] == [0, 50]


@pytest.mark.parametrize("size", [(1414, 1414), (1080, 1850), (1000, 2000)])
def test_what_a_view_is_classified_coarsely_by_is_kept_for_the_next_stroke(size):
    plane, visible = Plane(np.zeros((8192, 8192), np.uint8), Levels(0, 1)), Window(254, 254, *size)
    config = SegmentationConfig()
    assert coarse_config(config.channels, visible, deep=True) == (config.channels, 1)
    count = config.channels.components + count_filters(config.channels, 1)

    around = support(visible, config.smoothing, plane.shape)
    windows = visible_blocks(plane, around, 256)

    kept = 4 * count * sum(window.height * window.width for window in windows)
    assert kept <= live_channels.CACHED_BYTES


def test_every_few_pixels_are_those_of_the_block(plane, extractor):
    features = extractor.extract(plane, 1)
    config = ChannelConfig(components=8, sigmas=SIGMAS)
    space = Projection.fit([features], config)
    channels = LiveChannels()
    channels.open({(): plane})
    for changed in (config, replace(config, sigmas=())):
        source = channels.of((), changed, features, space, 8)
        window = Window(3, 5, 40, 61)
        np.testing.assert_allclose(
            source.subsampled(window, 7), source.block(window)[::7, ::7], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("side", [10, 1000, 8192])
def test_a_coarse_result_looks_at_a_bounded_number_of_pixels(side):
    step = coarse_step(Window(0, 0, side, side))

    assert step >= 4
    assert (side / step) ** 2 <= 200_000
    small = Segmentation(np.ones((-(-side // step),) * 2, np.uint8), None, ())
    assert magnified(small, Window(0, 0, side, side), step).labels.shape == (side, side)


@pytest.mark.parametrize("shape", [(70, 90), (64, 96, 3)])
def test_downsampled_pixels_are_means_of_squares(shape):
    data = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    expected = [
        [data[top : top + 8, left : left + 8].mean(axis=(0, 1)) for left in range(0, shape[1], 8)]
        for top in range(0, shape[0], 8)
    ]

    means = BlockMeans(data, 8)

    assert means.shape == np.shape(expected)
    rows, columns = slice(3, means.shape[0]), slice(2, means.shape[1])
    np.testing.assert_allclose(means[rows, columns], np.array(expected)[rows, columns])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_downsampled_strokes_are_sampled_once_for_each_square_and_class(plane, dtype):
    config = ChannelConfig(sigmas=SIGMAS, flatten=False)
    channels = LiveChannels()
    channels.open({(): plane})
    painted = np.zeros(plane.shape, dtype)
    painted[17:20, 9:30], painted[20, 8:16] = 1, 2

    samples = channels.downsampled((), config, 8).samples(painted)

    small = PixelChannels(Plane(BlockMeans(plane.data, 8), plane.levels), config)
    expected = small.points(np.array([2, 2, 2, 2]), np.array([1, 2, 3, 1]))
    order = np.argsort(samples.labels, kind="stable")
    np.testing.assert_array_equal(samples.labels[order], [1, 1, 1, 2])
    np.testing.assert_array_equal(samples.values[order], expected)


def test_a_lack_of_memory_shrinks_the_blocks_for_good_and_counts_nothing_twice(wide, monkeypatch):
    engine, sides = LiveEngine("cpu"), []

    def scarce(classifier, channels, windows, side, *others):
        sides.append(side)
        if side > 128:
            raise MemoryError
        yield from predictions(classifier, channels, windows, side, *others)

    monkeypatch.setattr("napari_alibi_seg.core.live.engine.predictions", scarce)
    for request in (wide, replace(wide, visible=Window(0, 0, 900, 900), generation=1)):
        *_, last = engine.update(request)
        assert sum(last.pixels.values()) == wide.scribbles.size
    assert sides.count(256) == 1


def test_strokes_on_a_plane_that_is_not_shown_are_assessed(micrograph_pixels, scribbles):
    stack = as_micrograph(np.stack([micrograph_pixels] * 2), axes="ZYX")
    painted = np.stack([scribbles, 0 * scribbles])
    window = Window(0, 0, *stack.shape_yx)
    request = LiveRequest(stack, painted, QUICK, ((1,),), window, advise=True)

    told = [one for one in LiveEngine("cpu").update(request) if isinstance(one, Advice)]

    assert {one.plane for one in told if one.assessment} == {(0,)}


@pytest.fixture
def wide():
    """Two halves of different grey, 1500 x 1510, a stroke in each, all of it visible."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(90, 8, (1500, 1510))
    pixels[:, 700:] += 60
    painted = np.zeros(pixels.shape, np.uint8)
    painted[700:705, 100:600], painted[700:705, 900:1400] = 1, 2
    config = replace(QUICK, channels=ChannelConfig(sigmas=(1.4,)))
    image = as_micrograph(pixels.astype(np.uint8))
    return LiveRequest(image, painted, config, ((),), Window(0, 0, *pixels.shape))


def test_a_large_view_is_classified_coarsely_without_filtering_all_of_it(wide, monkeypatch):
    seen = []

    def noted(config, plane, window):
        seen.append(window.height * window.width)
        return pixel_filters(config, plane, window)

    monkeypatch.setattr("napari_alibi_seg.core.channels.pixel_channels.pixel_filters", noted)
    events = LiveEngine("cpu").update(wide)

    coarse = list(takewhile(lambda event: not isinstance(event, ClassifierReady), events))

    labels = painted_by(coarse, wide.scribbles.shape)
    right = np.arange(1510) >= 700
    assert np.mean(labels == 1 + right) > 0.99
    assert sum(seen) < 0.6 * wide.scribbles.size


def test_the_final_result_of_a_large_view_is_that_of_segment(wide):
    events = LiveEngine("cpu").update(wide)

    expected = segment(wide.image, wide.scribbles, wide.config, "cpu")

    np.testing.assert_array_equal(painted_by(events, wide.scribbles.shape), expected.labels)


def test_a_large_view_is_downsampled_to_about_a_million_pixels():
    for side in (1500, 3000, 8192, 50_000):
        factor = downsampling_factor(Window(0, 0, side, side))
        assert 0.4e6 < (side / factor) ** 2 < 2.1e6
