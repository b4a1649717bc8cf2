import json
import re
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from skimage.io import imread
from sklearn.ensemble import RandomForestClassifier

from napari_alibi_seg.core.channels.kinds import LEARNED_CHANNELS
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.choices import CLASSICAL, DEFAULT_MODEL, Forest
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.errors import (
    AlibiSegError,
    ClassifierError,
    DeviceError,
    ImageError,
    ScribbleError,
)
from napari_alibi_seg.core.forest.classifier_files import load_classifier, save_classifier
from napari_alibi_seg.core.forest.samples import gather_samples
from napari_alibi_seg.core.forest.strokes import training_pixels
from napari_alibi_seg.core.forest.training import training_forest
from napari_alibi_seg.core.images.micrograph import as_micrograph, planes_of
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.judging.expectation import is_unlike
from napari_alibi_seg.core.judging.judge import assess
from napari_alibi_seg.core.progress import run_to_end
from napari_alibi_seg.core.runs.results import read_scribbles
from napari_alibi_seg.core.segmentation import Segmenter, segment

SAMPLES = Path(__file__).parents[2] / "src/napari_alibi_seg/samples"
FAST = SegmentationConfig(scale=1, channels=ChannelConfig(8, sigmas=(1.0, 2.5)), trees=10)
QUICK = SegmentationConfig(CLASSICAL, channels=ChannelConfig(sigmas=(1.0, 2.5)), trees=10)


def segmented(image, scribbles, config=FAST, **options):
    segmenter = Segmenter(config, "cpu", **options)
    classifier = segmenter.fit(image, scribbles)
    return dict(segmenter.apply(classifier, image, probabilities=True))


def painted_samples(image, scribbles):
    [plane] = planes_of(image).values()
    return gather_samples(PixelChannels(plane, QUICK.channels), scribbles)


@pytest.mark.parametrize("config", [FAST, QUICK])
def test_dark_precipitates_are_told_from_bright_matrix(
    micrograph, micrograph_pixels, scribbles, cache, config
):
    labels = segmented(micrograph, scribbles, config, cache=cache)[()].labels
    assert np.mean(labels[micrograph_pixels < 50] == 3) > 0.9
    assert np.mean(labels[micrograph_pixels > 120] == 1) > 0.9


def test_margins_of_wide_strokes_do_not_train(micrograph):
    wide, inner = np.zeros((2, *micrograph.shape_yx), np.uint8)
    wide[10:22, 10:60], wide[100:112, 80:140] = 1, 3
    pixels = training_pixels(wide)
    inner[pixels] = wide[pixels]
    assert np.count_nonzero(inner) == 8 * (46 + 56)
    results = [segmented(micrograph, drawn, QUICK)[()].probabilities for drawn in (wide, inner)]
    np.testing.assert_array_equal(*results)


def test_the_block_size_changes_nothing(micrograph, scribbles, cache, monkeypatch):
    large = segmented(micrograph, scribbles, cache=cache)[()]
    monkeypatch.setattr("napari_alibi_seg.core.segmentation.BLOCK", 36)
    small = segmented(micrograph, scribbles, cache=cache)[()]
    assert np.array_equal(small.labels, large.labels)
    assert np.array_equal(small.probabilities, large.probabilities)
    np.testing.assert_allclose(small.confusion, large.confusion)


def test_pixels_without_data_are_not_expected_to_be_anything(patchy, scribbles):
    [result] = segmented(patchy, scribbles, QUICK).values()
    counted = np.count_nonzero(result.labels[::4, ::4])
    assert 0 < counted < result.labels[::4, ::4].size
    assert result.confusion.sum() == pytest.approx(counted)
    labelled = [np.count_nonzero(result.labels[::4, ::4] == value) for value in (1, 3)]
    np.testing.assert_allclose(result.confusion.sum(axis=0), labelled, rtol=1e-5)


def test_ignored_pixels_are_not_expected_to_be_anything(micrograph, scribbles):
    more = scribbles.copy()
    more[:50] = 7
    segmenter = Segmenter(QUICK, "cpu")
    classifier = segmenter.fit(micrograph, more, ignored=[7])
    [(_, result)] = segmenter.apply(classifier, micrograph)
    confusion = result.without_painted(more, [7]).confusion
    assert confusion.sum() == pytest.approx(result.labels[52::4, ::4].size)
    assert result.confusion.sum() == pytest.approx(result.labels[::4, ::4].size)


def test_what_is_ignored_teaches_nothing_and_is_empty_in_the_result(micrograph, scribbles):
    more = scribbles.copy()
    more[:10] = 7
    segmenter = Segmenter(QUICK, "cpu")
    classifier = segmenter.fit(micrograph, more, ignored=[7])

    [(_, result)] = segmenter.apply(classifier, micrograph, probabilities=True)
    shown = result.without_painted(more, [7])

    plain = segmented(micrograph, np.where(more == 7, 0, more), QUICK)[()]
    assert [known.value for known in classifier.classes] == [1, 3]
    np.testing.assert_array_equal(result.probabilities, plain.probabilities)
    np.testing.assert_array_equal(shown.labels, np.where(more == 7, 0, plain.labels))
    assert not shown.probabilities[:, more == 7].any()


def test_where_all_is_ignored_nothing_is_painted(micrograph, scribbles):
    with pytest.raises(ScribbleError, match="nothing is painted yet"):
        Segmenter(QUICK, "cpu").fit(micrograph, scribbles, ignored=[1, 3])


@pytest.mark.parametrize("forest", list(Forest))
def test_a_segmenter_of_a_classifier_trains_one_like_it(micrograph, scribbles, forest):
    config = replace(QUICK, model=CLASSICAL, forest=forest, seed=3, trees=7, smoothing=2)
    classifier = Segmenter(config, "cpu").fit(micrograph, scribbles)
    assert Segmenter.of(classifier).config == config


def test_equal_inputs_and_seed_give_equal_results_another_seed_others(micrograph, scribbles):
    one, again = (segmented(micrograph, scribbles, QUICK)[()] for _ in range(2))
    assert np.array_equal(one.probabilities, again.probabilities)
    other = SegmentationConfig(CLASSICAL, channels=QUICK.channels, trees=10, seed=1)
    assert not np.array_equal(
        segmented(micrograph, scribbles, other)[()].probabilities, one.probabilities
    )


@pytest.mark.parametrize("dtype", ["u2", ">i4", "f4", ">f8"])
def test_the_type_of_the_pixels_changes_nothing(
    micrograph, micrograph_pixels, scribbles, cache, dtype
):
    other = as_micrograph(micrograph_pixels.astype(dtype))
    one = segmented(micrograph, scribbles, cache=cache)[()]
    assert np.array_equal(segmented(other, scribbles, cache=cache)[()].labels, one.labels)


def test_one_forest_serves_all_planes_of_a_stack(micrograph_pixels, scribbles):
    stack = as_micrograph(np.stack([micrograph_pixels] * 4).reshape(2, 2, 150, 170), axes="TZYX")
    painted = np.zeros(stack.label_shape, np.uint8)
    painted[0, 1] = np.where(scribbles == 1, 1, 0)
    painted[1, 0] = np.where(scribbles == 3, 3, 0)
    results = segmented(stack, painted, QUICK)
    assert list(results) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    first = results[0, 0].labels
    assert set(np.unique(first)) == {1, 3}
    assert all(np.array_equal(result.labels, first) for result in results.values())


def test_segment_returns_the_shape_of_the_image(micrograph_pixels, scribbles):
    stack = as_micrograph(np.stack([micrograph_pixels] * 2), axes="ZYX")
    painted = np.stack([scribbles, 0 * scribbles])
    result = segment(stack, painted, QUICK)
    assert result.labels.shape == (2, 150, 170)
    assert result.probabilities.shape == (2, 2, 150, 170)
    np.testing.assert_array_equal(result.sampled, result.probabilities[..., ::4, ::4])
    for (number,), plane in segmented(stack, painted, QUICK).items():
        np.testing.assert_array_equal(result.labels[number], plane.labels)
        np.testing.assert_array_equal(result.probabilities[:, number], plane.probabilities)
        np.testing.assert_array_equal(result.sampled[:, number], plane.sampled)
    assert result.confusion.sum() == pytest.approx(2 * 38 * 43)


def test_channels_used_together_distinguish_what_none_of_them_can(micrograph_pixels):
    """Four phases from two channels, the second of counts from 0 to 3, beside 16-bit greys."""
    rows, columns = np.indices((150, 170))
    greys = np.where(rows < 75, 20_000, 40_000) + 40 * micrograph_pixels.astype(int)
    counts = np.random.default_rng(0).binomial(3, np.where(columns < 85, 0.05, 0.95))
    truth = 1 + 2 * (rows >= 75) + (columns >= 85)
    scribbles = np.where((rows % 75 == 40) & (columns % 85 > 20) & (columns % 85 < 60), truth, 0)
    image = as_micrograph(np.stack([greys, counts]).astype(np.uint16), "CYX", (0, 1))

    labels = segment(image, scribbles, SegmentationConfig(CLASSICAL, trees=20)).labels

    assert np.mean(labels == truth) > 0.99
    assert Segmenter(QUICK).fit(image, scribbles).bands == 2


def test_strokes_under_a_shadow_hold_elsewhere_if_the_light_is_evened_out():
    rows, columns = np.indices((240, 360))
    truth = 1 + (rows // 40 + columns // 40) % 2
    noise = np.random.default_rng(0).normal(0, 0.02, truth.shape)
    image = as_micrograph(0.1 * truth + columns / 360 + noise)
    scribbles = np.where((columns < 80) & (rows % 40 == 20), truth, 0)

    def wrong(flatten):
        channels = ChannelConfig(flatten=flatten)
        labels = segment(image, scribbles, SegmentationConfig(CLASSICAL, channels=channels)).labels
        return np.mean(labels != truth)

    assert wrong(True) < 0.02
    assert wrong(False) > 4 * wrong(True)


def test_each_channel_has_its_own_levels_and_colours_share_theirs():
    bands = np.stack([np.arange(12), 1000 + 10 * np.arange(12)[::-1], np.full(12, 7)], axis=-1)
    pixels = bands.reshape(3, 4, 3).astype(np.uint16)
    separate = planes_of(as_micrograph(pixels, "YXC", (0, 1, 2)))[()].read(Window(0, 0, 3, 4))
    np.testing.assert_allclose(separate[..., 0], 1 - separate[..., 1], atol=0.01)
    assert not separate[..., 2].any()
    shared = planes_of(as_micrograph(pixels, "YXS"))[()].read(Window(0, 0, 3, 4))
    assert shared[..., 0].max() < 0.02 < 0.9 < shared[..., 1].min()


def test_colour_and_grey_classifiers_are_not_mixed_up(micrograph, micrograph_pixels, scribbles):
    colour = as_micrograph(np.dstack([micrograph_pixels] * 3), "YXS", (0, 1, 2))
    segmenter = Segmenter(QUICK)
    classifier = segmenter.fit(colour, scribbles)
    assert dict(segmenter.apply(classifier, colour))[()].labels.any()
    with pytest.raises(ClassifierError, match=r"trained on colour.*0,0,0.*--channels"):
        list(segmenter.apply(classifier, micrograph))
    alike = as_micrograph(micrograph_pixels, channels=(0, 0, 0))
    assert dict(segmenter.apply(classifier, alike))[()].labels.any()
    grey = segmenter.fit(micrograph, scribbles)
    with pytest.raises(ClassifierError, match=r"trained on grey.*choose one channel.*--channels"):
        list(segmenter.apply(grey, colour))


def test_a_classifier_refuses_a_segmenter_with_another_scale(micrograph, scribbles, cache):
    classifier = Segmenter(FAST, "cpu", cache).fit(micrograph, scribbles)
    applied = Segmenter.of(classifier, device="cpu", cache=cache)
    assert dict(applied.apply(classifier, micrograph))[()].labels.any()
    with pytest.raises(ClassifierError, match="no model"):
        list(Segmenter(QUICK).apply(classifier, micrograph))


def test_names_and_colours_travel_with_the_classes(micrograph, scribbles):
    pore = ClassInfo(3, "pore", (9, 8, 7))
    classifier = Segmenter(QUICK).fit(micrograph, scribbles, [pore])
    assert classifier.classes == (ClassInfo.default(1), pore)
    named = Segmenter(QUICK).fit(micrograph, scribbles, {1: "matrix", 2: "", 3: "pore"}).classes
    assert named == (ClassInfo.default(1, "matrix"), ClassInfo.default(3, "pore"))


@pytest.mark.parametrize("given", [list, iter])
def test_a_classifier_has_the_pixel_size_of_the_images_that_are_painted(
    micrograph, scribbles, given
):
    painted, other = (
        replace(micrograph, pixel_size=PixelSize("nm", None, side, side)) for side in (5.0, 10.0)
    )
    drawings = [scribbles, 0 * scribbles]
    classifier = Segmenter(QUICK).fit(given([painted, other]), given(drawings))
    assert classifier.pixel_size == painted.pixel_size
    assert classifier.doubt(other.pixel_size)
    assert Segmenter(QUICK).fit([painted, other], [scribbles] * 2).pixel_size is None


@pytest.mark.parametrize("classes", [["matrix", "pore"], "matrix", 5, {1: 5}])
def test_what_names_no_class_is_explained(micrograph, scribbles, classes):
    with pytest.raises(ScribbleError, match=r"write, for example, {1: 'matrix'|give a text"):
        Segmenter(QUICK).fit(micrograph, scribbles, classes)


def test_two_classes_of_one_name_are_refused(micrograph, scribbles):
    with pytest.raises(ScribbleError, match=r"gives two classes one name.* give each its own"):
        Segmenter(QUICK).fit(micrograph, scribbles, {1: "pores", 3: "pores"})
    assert len(Segmenter(QUICK).fit(micrograph, scribbles, {1: "", 3: ""}).classes) == 2


@pytest.mark.parametrize("colour", ["red", (1, 2), (0, 0, 300), (-1, 0, 0), None, 7])
def test_what_is_no_colour_is_refused(colour):
    with pytest.raises(ScribbleError, match="red, green and blue from 0 to 255"):
        ClassInfo(1, "pore", colour)


@pytest.mark.parametrize("ignored", [["1"], "1", 1, [1.5]])
def test_ignored_classes_that_are_no_numbers_are_refused(micrograph, scribbles, ignored):
    with pytest.raises(ScribbleError, match=r"Ignored classes are .*ignored=\[3\]"):
        Segmenter(QUICK).fit(micrograph, scribbles, ignored=ignored)


def test_masked_strokes_teach_nothing(micrograph, scribbles):
    more = np.ma.masked_equal(np.where(np.indices(scribbles.shape)[0] < 10, 7, scribbles), 7)
    segmenter = Segmenter(QUICK, "cpu")
    one, other = (segmenter.fit(micrograph, some) for some in (more, more.filled(0)))
    values = painted_samples(micrograph, scribbles).values
    assert np.array_equal(*(c.forest.predict_proba(values) for c in (one, other)))
    told, expected = (assess(segmenter, one, micrograph, s) for s in (more, more.filled(0)))
    assert told[()].accuracy == expected[()].accuracy


def test_what_is_no_classifier_is_explained(micrograph):
    for use in (Segmenter(QUICK).apply, lambda one, image: [Segmenter.of(one)]):
        with pytest.raises(ClassifierError, match="; read a file with load_classifier"):
            list(use("c.skops", micrograph))


def test_uncertainty_needs_probabilities(micrograph, scribbles):
    segmenter = Segmenter(QUICK, "cpu")
    [(_, result)] = segmenter.apply(segmenter.fit(micrograph, scribbles), micrograph)
    with pytest.raises(AlibiSegError, match="ask for them with probabilities=True"):
        _ = result.uncertainty


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s[:-1], r"shape \(149, 170\) but the image has \(150, 170\)"),
        (lambda s: s.astype(float), "type float64"),
        (lambda s: s * 0, "nothing is painted"),
        (lambda s: (s == 3) * 3, "only class 3"),
        (lambda s: -s.astype(int), "negative"),
        (lambda s: s.astype(int) * 60_000, "value 180000"),
    ],
)
def test_scribbles_that_do_not_fit_are_explained(micrograph, scribbles, spoil, said):
    with pytest.raises(ScribbleError, match=said):
        Segmenter(QUICK).fit(micrograph, spoil(scribbles))


@pytest.mark.parametrize("config", [FAST, QUICK])
def test_classes_painted_on_images_of_different_sizes_train_one_forest(
    micrograph, micrograph_pixels, scribbles, cache, config
):
    part = as_micrograph(micrograph_pixels[:90, :110])
    drawings = [np.where(scribbles == 1, 1, 0), np.where(scribbles == 3, 3, 0)[:90, :110]]
    segmenter = Segmenter(config, "cpu", cache)
    classifier = segmenter.fit([micrograph, part], drawings)
    [(_, result)] = segmenter.apply(classifier, micrograph)
    assert np.mean(result.labels[micrograph_pixels < 50] == 3) > 0.9
    assert np.mean(result.labels[micrograph_pixels > 120] == 1) > 0.9


@pytest.mark.parametrize("images", [1, 2])
def test_strokes_on_several_images_are_learnt_for_others(micrograph, scribbles, images):
    forest = Segmenter(QUICK, "cpu").fit([micrograph] * images, [scribbles] * images).forest
    samples = painted_samples(micrograph, scribbles)
    for several in (False, True):
        theirs = run_to_end(training_forest(QUICK, [samples] * images, None, several))
        equal = np.array_equal(*(f.predict_proba(samples.values) for f in (forest, theirs)))
        assert equal is (several is (images > 1))


def test_half_of_the_trees_see_no_deep_channels_and_half_of_these_no_learned_ones(
    micrograph, scribbles, cache
):
    config = SegmentationConfig(channels=ChannelConfig(components=8), trees=40)
    classifier = Segmenter(config, "cpu", cache).fit(micrograph, scribbles)
    deep, learned = 8, classifier.forest.n_features_in_ - LEARNED_CHANNELS
    splits = [tree.tree_.feature[tree.tree_.feature >= 0] for tree in classifier.forest.estimators_]
    sees_deep = [bool((split < deep).any()) for split in splits]
    sees_learned = [bool((split >= learned).any()) for split in splits]
    assert any(sees_deep[:20])
    assert not any(sees_deep[20:])
    assert any(sees_learned[20:30])
    assert not any(sees_learned[30:])


def test_an_image_of_another_material_is_unlike_those_painted(
    micrograph, micrograph_pixels, scribbles, cache
):
    segmenter = Segmenter(replace(FAST, channels=ChannelConfig(32)), "cpu", cache)
    classifier = segmenter.fit(micrograph, scribbles)

    def unlike(pixels):
        [(_, result)] = segmenter.apply(classifier, as_micrograph(pixels))
        return is_unlike(result.novelty)

    assert not unlike(micrograph_pixels)
    assert not unlike(np.fliplr(micrograph_pixels))
    assert unlike(imread(SAMPLES / "sandstone.png")[:150, :170])
    filters = Segmenter(QUICK)
    [(_, result)] = filters.apply(filters.fit(micrograph, scribbles), micrograph)
    assert result.novelty is None


def test_a_random_forest_sees_the_strokes_in_their_own_light(micrograph, scribbles):
    config = replace(QUICK, forest=Forest.RANDOM)
    forest = Segmenter(config, "cpu").fit(micrograph, scribbles).forest
    samples = painted_samples(micrograph, scribbles)
    theirs = RandomForestClassifier(10, class_weight="balanced", random_state=0)
    theirs.fit(samples.values, samples.labels)
    assert np.array_equal(*(f.predict_proba(samples.values) for f in (forest, theirs)))


@pytest.mark.parametrize("config", [FAST, QUICK])
def test_an_image_without_scribbles_changes_nothing(micrograph, scribbles, cache, config):
    blank = as_micrograph(np.arange(3000).reshape(50, 60))
    segmenter = Segmenter(config, "cpu", cache)
    one = segmenter.fit(micrograph, scribbles)
    more = segmenter.fit([blank, micrograph], [np.zeros((50, 60), np.uint8), scribbles])
    votes = [
        dict(segmenter.apply(made, micrograph, probabilities=True))[()].probabilities
        for made in (one, more)
    ]
    assert np.array_equal(*votes)


def test_images_and_scribbles_that_do_not_match_are_explained(
    micrograph, micrograph_pixels, scribbles
):
    colour = as_micrograph(np.dstack([micrograph_pixels] * 3), "YXS", (0, 1, 2))
    segmenter, only_three = Segmenter(QUICK), np.where(scribbles == 3, 3, 0)
    with pytest.raises(ScribbleError, match=r"'s\.png'; read a file with read_scribbles"):
        segmenter.fit(micrograph, "s.png")
    for wrong in (None, 7, ["a.png"]):
        with pytest.raises(ImageError, match=r"is of type (NoneType|int|str); make one with"):
            segment(wrong, scribbles, QUICK)
    with pytest.raises(ScribbleError, match="2 images came with 1 scribbles"):
        segmenter.fit([micrograph, micrograph], [scribbles])
    with pytest.raises(ScribbleError, match="only class 3"):
        segmenter.fit([micrograph, micrograph], [only_three, only_three])
    with pytest.raises(ScribbleError, match="nothing is painted"):
        segmenter.fit([], [])
    with pytest.raises(ImageError, match="Grey and colour"):
        segmenter.fit([micrograph, colour], [scribbles, scribbles])


@pytest.mark.parametrize("config", [FAST, QUICK])
def test_pixels_without_data_have_no_class_and_teach_nothing(patchy, scribbles, cache, config):
    missing = ~np.isfinite(patchy.data)
    drawn = np.where(missing, 0, scribbles)
    clean = segmented(patchy, drawn, config, cache=cache)[()]
    assert np.array_equal(clean.labels == 0, missing)
    assert not clean.probabilities[:, missing].any()
    assert np.allclose(clean.probabilities[:, ~missing].sum(axis=0), 1)
    drawn[100:140, 5:50] = 3
    also_there = segmented(patchy, drawn, config, cache=cache)[()]
    assert np.array_equal(also_there.probabilities, clean.probabilities)
    with pytest.raises(ScribbleError, match="painted of class 3 lies where the image has no data"):
        segmented(patchy, np.where(missing & (drawn == 3), 3, drawn == 1), config, cache=cache)


def test_an_image_is_not_taken_for_scribbles(micrograph):
    with pytest.raises(ScribbleError, match=r"different values.*at most 64"):
        Segmenter(QUICK, "cpu").fit(micrograph, micrograph.data)


def test_a_model_is_refused_for_a_classifier_that_was_trained_without(micrograph, scribbles):
    classifier = Segmenter(QUICK, "cpu").fit(micrograph, scribbles)
    assert Segmenter.of(classifier, CLASSICAL).config.model == CLASSICAL
    with pytest.raises(ClassifierError, match="leave it out"):
        Segmenter.of(classifier, DEFAULT_MODEL)


def test_the_name_of_a_model_is_no_configuration(micrograph, scribbles):
    with pytest.raises(AlibiSegError, match="this is 'classical'; write, for example"):
        segment(micrograph, scribbles, "classical")


class Stopped(Exception):
    pass


def test_work_can_be_stopped_from_the_progress_report(micrograph, scribbles, cache):
    told = []

    def stop(stage, done, total):
        told.append((stage, done, total))
        raise Stopped

    with pytest.raises(Stopped):
        segmented(micrograph, scribbles, progress=stop, cache=cache)
    assert told == [("features", 1, 1)]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("seed", -1, "from 0 to 4294967295"),
        ("seed", 2**32, "from 0 to 4294967295"),
        ("seed", "1", "from 0 to 4294967295"),
        ("scale", 5, "from 1 to 4"),
        ("scale", None, "from 1 to 4"),
        ("trees", 10.0, "whole number"),
        ("trees", 0, "from 1 to 100000"),
        ("smoothing", -1, "from 0 to 32"),
        ("smoothing", 1.5, "from 0 to 32"),
        ("smoothing", None, "from 0 to 32"),
        ("forest", "birch", "extra-trees, random"),
    ],
)
def test_settings_that_nothing_can_be_trained_with_are_refused_at_once(name, value, allowed):
    with pytest.raises(AlibiSegError, match=f"{name} .*{allowed}"):
        SegmentationConfig(**{name: value})


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (ChannelConfig, {"sigmas": 1.5}),
        (ChannelConfig, {"sigmas": ("1",)}),
        (ChannelConfig, {"sigmas_3d": (0,)}),
        (ChannelConfig, {"contrast": None}),
        (SegmentationConfig, {"model": None}),
        (SegmentationConfig, {"model": 5}),
        (SegmentationConfig, {"channels": {}}),
    ],
)
def test_settings_of_another_kind_are_named_with_an_example(make, wrong):
    [value] = wrong.values()
    with pytest.raises(AlibiSegError, match=re.escape(repr(value)) + ".*(write, for|as in)"):
        make(**wrong)


def test_a_model_may_be_given_by_its_path():
    assert SegmentationConfig(Path("folder/x.safetensors")).model == str(
        Path("folder/x.safetensors")
    )


def test_numbers_of_numpy_become_pythons_so_that_files_can_hold_them(tmp_path, micrograph_pixels):
    config = SegmentationConfig(
        CLASSICAL,
        channels=ChannelConfig(np.int16(8), np.float32(3), np.arange(1, 3, dtype=np.float32)),
        trees=np.int64(2),
        seed=np.uint8(3),
        smoothing=np.int8(4),
    )
    drawn = np.zeros(micrograph_pixels.shape, np.uint8)
    drawn[5], drawn[50] = 1, 2
    classes = [ClassInfo(value, "phase", np.array((1, 2, 3))) for value in np.unique(drawn)[1:]]
    classifier = Segmenter(config).fit(as_micrograph(micrograph_pixels), drawn, classes)
    save_classifier(classifier, tmp_path / "c.skops")
    assert load_classifier(tmp_path / "c.skops").classes == tuple(classes)
    json.dumps(asdict(config))


@pytest.mark.parametrize("value", [0, 1.5, "1"])
def test_what_is_no_class_is_refused(value):
    with pytest.raises(ScribbleError, match="whole number of 1 or more"):
        ClassInfo.default(value)


def test_any_value_has_a_default_colour_until_it_is_refused():
    assert len({ClassInfo.default(value).colour for value in (-9, 1, 2, 9, 300)}) == 5


def test_a_forest_may_be_chosen_by_its_plain_name():
    assert SegmentationConfig(forest="random").forest is Forest.RANDOM


@pytest.mark.parametrize("device", ["abacus", "meta", "cuda:99", None])
def test_a_device_that_is_not_there_is_explained(micrograph, scribbles, device):
    with pytest.raises(DeviceError, match=f"{device!r} cannot be used"):
        Segmenter(FAST, device).fit(micrograph, scribbles)


def test_the_levels_of_an_image_are_looked_for_once(micrograph_pixels):
    looked = []

    def note(block):
        looked.append(block.shape)
        return block

    lazy = da.from_array(micrograph_pixels, chunks=-1).map_blocks(note, meta=micrograph_pixels[:0])
    image = as_micrograph(lazy)
    first, again = (planes_of(image)[()].levels for _ in range(2))
    assert looked == [(150, 170)]
    assert first == again == planes_of(as_micrograph(micrograph_pixels))[()].levels


@pytest.mark.parametrize("kind", [da.from_array, np.ndarray.tolist])
def test_scribbles_of_any_kind_of_array_will_do(micrograph, scribbles, kind):
    given = kind(scribbles) if kind is da.from_array else [kind(scribbles)]
    one, other = (segmented(micrograph, s, QUICK)[()] for s in (scribbles, given))
    assert np.array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("image", [np.zeros((150, 170)), ["micrograph.tif"]])
def test_what_is_no_micrograph_is_explained(image, scribbles):
    with pytest.raises(ImageError, match="with read_image or as_micrograph"):
        Segmenter(QUICK).fit(image, scribbles)
    for use in (planes_of, partial(read_scribbles, "s.png")):
        with pytest.raises(ImageError, match="with read_image or as_micrograph"):
            use(image)
    with pytest.raises(ImageError, match="with read_image or as_micrograph"):
        assess(Segmenter(QUICK), None, image, scribbles)


def test_neither_a_model_nor_filters_are_too_little(micrograph, scribbles):
    config = SegmentationConfig(CLASSICAL, channels=ChannelConfig(sigmas=()))
    with pytest.raises(AlibiSegError, match="nothing to tell pixels by"):
        Segmenter(config).fit(micrograph, scribbles)


def test_an_image_of_a_single_patch_is_segmented_too():
    image = as_micrograph(np.arange(15, dtype=np.uint8).reshape(3, 5) * 10)
    scribbles = np.zeros((3, 5), np.uint8)
    scribbles[0, 0], scribbles[-1, -1] = 1, 2
    labels = segment(image, scribbles, SegmentationConfig(scale=1, trees=10)).labels
    assert labels.shape == (3, 5)
    assert set(np.unique(labels)) <= {1, 2}
