import json
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.preprocessing import FunctionTransformer

from napari_alibi_seg.core.channels.pixel_channels import PixelChannels, Projection, local_contrast
from napari_alibi_seg.core.choices import Forest
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import ChannelConfig
from napari_alibi_seg.core.errors import AlibiSegError, ClassifierError, OutputError, ScribbleError
from napari_alibi_seg.core.forest.classifier import PixelClassifier
from napari_alibi_seg.core.forest.classifier_files import load_classifier, save_classifier
from napari_alibi_seg.core.forest.prediction import predictions
from napari_alibi_seg.core.forest.result import Segmentation
from napari_alibi_seg.core.forest.samples import PixelSamples, gather_samples, thinned
from napari_alibi_seg.core.forest.training import growing_forest
from napari_alibi_seg.core.forest.vote_calibration import CLASSICAL_PRIOR, DEEP_PRIOR, calibrated
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.progress import map_steps, run_to_end

TREE = "sklearn.tree._tree.Tree"
CONFIG = ChannelConfig(components=8, sigmas=(1.0, 2.5))


@pytest.fixture(scope="module")
def plane(micrograph_pixels):
    return Plane(micrograph_pixels, Levels(0, 255))


@pytest.fixture(scope="module")
def features(extractor, plane):
    return extractor.extract(plane, 1)


def grown(samples, trees, seed, told=lambda _: None, **options):
    return run_to_end(map_steps(growing_forest(samples, trees, seed, **options), told))


@pytest.fixture(scope="module")
def channels(plane, features):
    return PixelChannels(plane, CONFIG, features, Projection.fit([features], CONFIG))


@pytest.fixture
def classifier(channels, features, scribbles):
    forest = grown([gather_samples(channels, scribbles)], trees=5, seed=0)
    projection = Projection.fit([features], CONFIG)
    classes = (ClassInfo(1, "matrix", (1, 2, 3)), ClassInfo(3, "pore", (4, 5, 6)))
    return PixelClassifier(forest, classes, CONFIG, projection, features.identity, 1)


def predicted(classifier, channels, probabilities=False):
    window = Window(0, 0, *channels.shape)
    [found] = predictions(classifier, channels, [window], 200, probabilities)
    return found[window]


def test_smoothing_is_kept_with_the_classifier(classifier, tmp_path):
    path = tmp_path / "c.skops"
    save_classifier(replace(classifier, smoothing=6), path)
    assert load_classifier(path).smoothing == 6


@pytest.mark.parametrize("radius", [-1, 33, 2.5, "4"])
def test_a_radius_that_makes_no_sense_is_refused(classifier, tmp_path, radius):
    path = tmp_path / "c.skops"
    save_classifier(replace(classifier, smoothing=radius), path)
    with pytest.raises(ClassifierError, match="smoothing"):
        load_classifier(path)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [(Forest.EXTRA_TREES, ExtraTreesClassifier), (Forest.RANDOM, RandomForestClassifier)],
)
def test_the_forest_is_scikit_learns_balanced_one(kind, theirs, channels, scribbles):
    samples = gather_samples(channels, scribbles)
    told = []
    ours = grown([samples], 25, 3, told.append, kind=kind)
    theirs = theirs(25, class_weight="balanced", random_state=3)
    theirs.fit(samples.values, samples.labels)
    pixels = samples.values[::7]
    assert np.array_equal(ours.predict_proba(pixels), theirs.predict_proba(pixels))
    assert ours.get_params() == theirs.get_params()
    assert told == [17, 25]


@pytest.mark.parametrize("kind", Forest)
def test_many_pixels_grow_few_trees_at_a_time_and_the_same_ones(kind, channels, scribbles):
    samples = gather_samples(channels, scribbles)
    repeated = [samples] * (30_000 // len(samples.labels) + 1)
    told = []
    ours = grown(repeated, 20, 3, told.append, kind=kind)
    whole = clone(ours).fit(
        *(np.concatenate([getattr(some, of) for some in repeated]) for of in ("values", "labels"))
    )
    assert max(np.diff(told)) <= 3
    assert told[-1] == 20
    pixels = samples.values[::7]
    assert np.array_equal(ours.predict_proba(pixels), whole.predict_proba(pixels))


def test_thinned_samples_keep_what_is_rare_and_every_few_of_the_rest():
    labels = [np.repeat([1, 2], [900, 10]), np.repeat([2, 1], [300, 100])]
    samples = [PixelSamples(np.arange(len(of), dtype=np.float32)[:, None], of) for of in labels]

    few = thinned(samples, 620)

    np.testing.assert_array_equal(few[0].values[:, 0], [*range(0, 900, 4), *range(900, 910)])
    np.testing.assert_array_equal(few[1].values[:, 0], [*range(300), *range(300, 400, 4)])
    for some, of in zip(few, labels, strict=True):
        np.testing.assert_array_equal(some.labels, of[some.values[:, 0].astype(int)])


def test_some_of_the_trees_split_on_some_channels_alone(channels, scribbles):
    samples = gather_samples(channels, scribbles)
    last = samples.values.shape[1]
    parts, told = {range(4, last): 0.2, range(4, last - 2): 0.1}, []
    forest = grown([samples], 50, 3, told.append, parts=parts)
    splits = [tree.tree_.feature[tree.tree_.feature >= 0] for tree in forest.estimators_]
    assert len(splits) == forest.n_estimators == 50
    assert any(split.min() < 4 for split in splits[:35])
    assert all(split.min() >= 4 for split in splits[35:])
    assert any(split.max() >= last - 2 for split in splits[35:45])
    assert all(split.max() < last - 2 for split in splits[45:])
    assert told == [17, 34, 35, 45, 50]


def test_trees_grown_apart_see_other_values(channels, scribbles):
    samples, drawn = gather_samples(channels, scribbles), []

    def vary(values, random):
        drawn.append(values + random.normal(size=values.shape).astype(np.float32))
        return drawn[-1]

    forest = grown([samples], 20, 3, vary=vary)
    assert forest.n_estimators == len(forest.estimators_) == 20
    assert [np.array_equal(drawn[0], other) for other in drawn] == [True, False]
    again = grown([samples], 20, 3, vary=vary)
    assert np.array_equal(*(f.predict_proba(samples.values) for f in (forest, again)))


def test_points_are_the_blocks_values_to_the_bit(channels, scribbles):
    rows, columns = np.nonzero(scribbles)
    block = channels.block(Window(0, 0, *channels.shape))
    assert np.array_equal(channels.points(rows, columns), block[rows, columns])


def test_blocks_are_parts_of_the_whole_to_the_bit(channels):
    block = channels.block(Window(0, 0, *channels.shape))
    assert np.array_equal(channels.block(Window(40, 90, 33, 71)), block[40:73, 90:161])


def test_a_projection_keeps_the_largest_variance(features):
    raw = ChannelConfig(components=8, contrast=0)
    projected = Projection.fit([features], raw)(features.tokens).reshape(-1, 8)
    variances = projected.var(axis=0)
    assert np.all(np.diff(variances) <= 1e-3)
    assert np.allclose(projected.mean(axis=0), 0, atol=1e-2)


def test_local_contrast_removes_what_changes_slowly_and_commutes_with_projection():
    slope = np.linspace(0, 1, 40, dtype=np.float32)[:, None, None] * np.ones((1, 40, 2), np.float32)
    spot = np.zeros((40, 40, 2), np.float32)
    spot[20, 20] = 1
    contrast = local_contrast(slope + spot, 3.0)
    assert contrast[20, 20, 0] > 0.9
    assert abs(contrast[10, 20, 0]) < 0.02
    matrix = np.array([[1, 2], [3, 5]], np.float32)
    assert np.allclose(local_contrast((slope + spot) @ matrix, 3.0), contrast @ matrix, atol=1e-5)
    assert local_contrast(slope, 0) is slope


def test_more_components_than_channels_or_tokens_are_not_invented(features):
    assert Projection.fit([features], ChannelConfig(384)).components.shape == (143, 384)


@pytest.mark.parametrize("components", [0, 385, 2.5])
def test_a_number_of_components_that_cannot_be_kept_is_refused(components):
    with pytest.raises(AlibiSegError, match="from 1 to 384"):
        ChannelConfig(components)


def test_classes_keep_the_values_that_were_painted(classifier, channels):
    result = predicted(classifier, channels, probabilities=True)
    assert set(np.unique(result.labels)) == {1, 3}
    assert result.labels.dtype == np.uint8
    assert [info.value for info in result.classes] == [1, 3]
    assert np.allclose(result.probabilities.sum(axis=0), 1)
    assert np.array_equal(result.labels == 3, result.probabilities[1] > result.probabilities[0])


def test_painted_pixels_get_their_own_class(classifier, channels, scribbles):
    labels = predicted(classifier, channels).labels
    painted = scribbles > 0
    assert np.mean(labels[painted] == scribbles[painted]) > 0.95


@pytest.mark.parametrize("smoothing", [0, 2])
def test_probabilities_are_votes_under_the_usual_temperature(classifier, channels, smoothing):
    shares = np.random.default_rng(0).dirichlet((1, 1), (30, 40))
    for kind, usual in ((None, CLASSICAL_PRIOR), (classifier.projection, DEEP_PRIOR)):
        found = replace(classifier, projection=kind, smoothing=smoothing)
        temperature = usual.smoothed if smoothing else usual.typical
        told = np.moveaxis(found.segmentation(shares, None, True).probabilities, 0, -1)
        np.testing.assert_array_equal(told, calibrated(shares.astype(np.float32), temperature))


def test_values_beyond_a_byte_are_kept():
    classes = (ClassInfo.default(2), ClassInfo.default(300))
    empty = PixelClassifier(None, classes, CONFIG, None, None, 1)
    assert empty.label_values.dtype == np.uint16
    assert empty.label_values.tolist() == [2, 300]


@pytest.mark.parametrize(
    ("labels", "said"),
    [([], "nothing is painted"), ([2, 2], "only class 2"), ([1, -1], "negative value -1")],
)
def test_scribbles_that_do_not_do_say_why(labels, said):
    samples = PixelSamples(np.zeros((len(labels), 3), np.float32), np.array(labels, int))
    with pytest.raises(ScribbleError, match=said):
        grown([samples], 5, 0)


def test_scribbles_of_another_shape_are_refused(channels):
    with pytest.raises(ScribbleError, match=r"\(3, 3\).*\(150, 170\)"):
        gather_samples(channels, np.ones((3, 3), int))


def test_default_classes_have_colours_that_differ():
    colours = {ClassInfo.default(value).colour for value in range(1, 10)}
    assert len(colours) == 9


def test_added_classes_never_share_a_colour():
    classes = []
    for value in range(1, 25):
        classes.append(ClassInfo.beside(value, classes))
    assert len({info.colour for info in classes}) == 24


@pytest.mark.parametrize(
    ("trained", "given", "doubtful"),
    [
        (PixelSize("nm", None, 4, 4), PixelSize("µm", None, 0.004, 0.004), False),
        (PixelSize("nm", None, 4, 4), PixelSize("nm", 20, 4.4, 4.4), False),
        (PixelSize("nm", None, 4, 4), PixelSize("µm", None, 4, 4), True),
        (PixelSize("nm", None, 4, 4), PixelSize("nm", None, 2, 2), True),
        (PixelSize("parsec", None, 4, 4), PixelSize("parsec", None, 8, 8), True),
        (PixelSize("parsec", None, 4, 4), PixelSize("nm", None, 8, 8), False),
        (None, PixelSize("nm", None, 4, 4), False),
        (PixelSize("nm", None, 4, 4), None, False),
    ],
)
def test_pixels_of_another_size_than_was_trained_on_are_doubtful(
    classifier, tmp_path, trained, given, doubtful
):
    path = tmp_path / "c.skops"
    save_classifier(replace(classifier, pixel_size=trained), path)
    loaded = load_classifier(path)
    assert loaded.pixel_size == trained
    assert bool(loaded.doubt(given)) is doubtful


@pytest.mark.parametrize(
    ("spacing", "z", "doubtful"),
    [
        (8, 8, False),
        (8, 10, False),
        (8, 13, True),
        (8, 4, True),
        (8, None, False),
        (None, 8, False),
    ],
)
def test_planes_further_apart_than_was_trained_on_are_doubtful_to_3d_filters(
    classifier, spacing, z, doubtful
):
    flat = replace(classifier, pixel_size=PixelSize("nm", spacing, 4, 4))
    through = replace(flat, channels=replace(flat.channels, sigmas_3d=(1.4,)))
    given = PixelSize("parsec", z, 4, 4)
    assert not flat.doubt(given)
    assert ("pixels apart, not 2 as those" in through.doubt(given)) is doubtful


@pytest.mark.parametrize("recognised", [True, False, None])
def test_a_classifier_remembers_whether_it_recognises_strokes(classifier, tmp_path, recognised):
    path = tmp_path / "c.skops"
    save_classifier(replace(classifier, recognised=recognised), path)
    assert load_classifier(path).recognised is recognised


@pytest.mark.parametrize(
    ("side", "components", "known"), [(9, 32, True), (9, 48, True), (9, 8, False), (8, 32, False)]
)
def test_novelty_is_known_of_enough_patches_by_enough_components(side, components, known):
    random = np.random.default_rng(0)
    maps = [
        SimpleNamespace(tokens=random.normal(size=(n, n, 48)).astype(np.float16))
        for n in (side, 2, 1)
    ]
    projection = Projection.fit(maps, ChannelConfig(components))
    assert (projection.missed > 0) is known
    assert (projection.novelty(maps[0].tokens) is not None) is known


def test_a_classifier_remembers_what_its_components_miss(classifier, features, tmp_path):
    path = tmp_path / "c.skops"
    known = replace(classifier, projection=replace(classifier.projection, missed=0.25))
    save_classifier(known, path)
    novelty = known.projection.novelty(features.tokens)
    assert load_classifier(path).projection.novelty(features.tokens) == novelty > 0


def test_what_a_file_of_before_does_not_tell_is_unknown(classifier, features, tmp_path):
    path = tmp_path / "c.skops"
    save_classifier(replace(classifier, recognised=False), path)
    state = skops.io.load(path, trusted=[TREE])
    header = json.loads(state["header"])
    del header["recognised"], header["missed"]
    skops.io.dump({**state, "header": json.dumps(header)}, path)
    loaded = load_classifier(path)
    assert loaded.recognised is None
    assert loaded.projection.novelty(features.tokens) is None


def test_a_fingerprint_tells_what_makes_other_labels_and_nothing_else(
    classifier, channels, features, scribbles, tmp_path
):
    path = tmp_path / "c.skops"
    save_classifier(classifier, path)
    same = [
        load_classifier(path),
        classifier.renamed([ClassInfo(1, "austenite", (9, 9, 9))]),
        replace(classifier, pixel_size=PixelSize("nm", None, 4, 4), recognised=True),
    ]
    assert {one.fingerprint for one in same} == {classifier.fingerprint}
    assert not classifier.fingerprint[0].isdigit()

    other = features.identity
    changed = [
        replace(classifier, forest=grown([gather_samples(channels, scribbles)], 5, seed=1)),
        replace(classifier, smoothing=6),
        replace(classifier, channels=replace(CONFIG, contrast=3.0)),
        replace(classifier, features=replace(other, scale=other.scale + 1)),
        replace(classifier, projection=Projection(*(2 * part for part in _parts(classifier)))),
        replace(classifier, classes=(ClassInfo.default(1), ClassInfo.default(2))),
    ]
    assert len({one.fingerprint for one in (classifier, *changed)}) == 1 + len(changed)


def _parts(classifier):
    return classifier.projection.mean, classifier.projection.components


def test_saved_and_loaded_it_predicts_the_same(classifier, channels, tmp_path):
    path = tmp_path / "c.skops"
    save_classifier(classifier, path)
    loaded = load_classifier(path)
    assert replace(loaded, forest=None, projection=None) == replace(
        classifier, forest=None, projection=None
    )
    one = predicted(classifier, channels, probabilities=True)
    other = predicted(loaded, channels, probabilities=True)
    assert np.array_equal(one.probabilities, other.probabilities)


def test_a_classifier_of_deep_channels_alone_is_saved_and_loaded(
    plane, features, scribbles, tmp_path
):
    config = ChannelConfig(components=8, sigmas=())
    projection = Projection.fit([features], config)
    channels = PixelChannels(plane, config, features, projection)
    forest = grown([gather_samples(channels, scribbles)], trees=5, seed=0)
    classes = ClassInfo.of(forest.classes_, ())
    deep = PixelClassifier(forest, classes, config, projection, features.identity, 1)
    save_classifier(deep, tmp_path / "c.skops")
    assert load_classifier(tmp_path / "c.skops").channels == config


def test_what_is_no_classifier_or_would_be_lost_among_images_is_not_saved(classifier, tmp_path):
    with pytest.raises(ClassifierError, match=r"but this is 'c\.skops'"):
        save_classifier("c.skops", classifier)
    with pytest.raises(OutputError, match=r"a name for an image; .* classifier in \.skops"):
        save_classifier(classifier, tmp_path / "c.PNG")
    assert not [*tmp_path.iterdir()]


def test_the_file_tells_the_versions_it_was_made_with(classifier, tmp_path):
    save_classifier(classifier, tmp_path / "c.skops")
    state = skops.io.load(tmp_path / "c.skops", trusted=[TREE])
    versions = json.loads(state["header"])["versions"]
    assert {"python", "napari-alibi-seg", "scikit-learn"} <= versions.keys()


def test_a_file_that_could_run_code_is_not_loaded(classifier, tmp_path):
    path = tmp_path / "c.skops"
    skops.io.dump({"header": "{}", "forest": FunctionTransformer(Path.unlink)}, path)
    with pytest.raises(ClassifierError, match="could run code"):
        load_classifier(path)


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _replace_forest(path):
    state = skops.io.load(path, trusted=[TREE])
    skops.io.dump({**state, "forest": {}}, path)


def _spoil_tree(spoil):
    def change(path):
        state = skops.io.load(path, trusted=[TREE])
        tree = state["forest"].estimators_[0].tree_
        fields = {**tree.__getstate__()}
        fields["nodes"] = fields["nodes"].copy()
        spoil(fields)
        tree.__setstate__(fields)
        skops.io.dump(state, path)

    return change


def _point_outside(fields):
    fields["nodes"]["left_child"][0] = 1_000_000


def _claim_to_be_flat(fields):
    fields["max_depth"] = 0


def _change_header(**changes):
    def change(path):
        state = skops.io.load(path, trusted=[TREE])
        header = json.loads(state["header"])
        for key, value in changes.items():
            header[key] = value(header[key])
        skops.io.dump({**state, "header": json.dumps(header)}, path)

    return change


def _unfit(path):
    state = skops.io.load(path, trusted=[TREE])
    skops.io.dump({**state, "forest": RandomForestClassifier()}, path)


def _no_zip(path):
    path.write_text("hello")


def _other_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")


@pytest.mark.parametrize(
    "spoil",
    [
        _truncate,
        _replace_forest,
        _spoil_tree(_point_outside),
        _spoil_tree(_claim_to_be_flat),
        _unfit,
        _change_header(classes=lambda classes: classes[::-1]),
        _change_header(classes=lambda classes: classes[:1]),
        _change_header(channels=lambda channels: {**channels, "sigmas": [1.0]}),
        _change_header(channels=lambda channels: {**channels, "sigmas": [1e9, 1.0]}),
        _change_header(features=lambda features: None),
        _change_header(bands=lambda bands: 2),
        _change_header(recognised=lambda recognised: "no"),
        _change_header(missed=lambda missed: 1.5),
        _change_header(missed=lambda missed: "little"),
        _no_zip,
        _other_zip,
    ],
)
def test_a_damaged_file_is_called_so(classifier, tmp_path, spoil):
    path = tmp_path / "c.skops"
    save_classifier(classifier, path)
    spoil(path)
    with pytest.raises(ClassifierError, match=r"c\.skops"):
        load_classifier(path)


def test_a_lack_of_memory_is_not_called_damage(classifier, tmp_path, monkeypatch):
    path = tmp_path / "c.skops"
    save_classifier(classifier, path)
    monkeypatch.setattr(skops.io, "load", lambda *_, **__: np.empty(2**60, np.uint8))
    with pytest.raises(ClassifierError, match="more memory than is free"):
        load_classifier(path)


def test_a_path_may_be_a_plain_string(classifier, tmp_path):
    path = str(tmp_path / "c.skops")
    save_classifier(classifier, path)
    assert load_classifier(path).classes == classifier.classes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sigmas": (0.7, 0)}, "sigmas above 0"),
        ({"sigmas_3d": (1e9,)}, "up to 1000 pixels"),
        ({"sigmas": (float("nan"),)}, "sigmas above 0"),
        ({"contrast": -1}, "contrast of 0 or more"),
        ({"contrast": float("inf")}, "contrast of 0 or more"),
    ],
)
def test_channels_that_cannot_be_are_refused_at_once(settings, said):
    with pytest.raises(AlibiSegError, match=said):
        ChannelConfig(**settings)


def test_a_missing_file_is_called_so(tmp_path):
    with pytest.raises(ClassifierError, match="no classifier file"):
        load_classifier(tmp_path / "c.skops")


def test_features_of_another_identity_are_refused_and_both_named(classifier, extractor):
    classifier.require(extractor.identity(1), 1)
    with pytest.raises(ClassifierError, match=r"scale 1.*scale 2"):
        classifier.require(extractor.identity(2), 1)
    with pytest.raises(ClassifierError, match="no model"):
        classifier.require(None, 1)
    with pytest.raises(ClassifierError, match="grey images, but this one is colour"):
        classifier.require(extractor.identity(1), 3)


def test_uncertainty_is_0_where_trees_agree_and_1_where_two_classes_tie():
    shares = np.array([[1, 0.5, 0.6], [0, 0.5, 0.3], [0, 0, 0.1]], np.float32)[:, None]
    result = Segmentation(np.ones((1, 3), np.uint8), shares, ())
    np.testing.assert_allclose(result.uncertainty, [[0, 1, 0.7]], atol=1e-6)
