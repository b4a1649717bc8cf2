"""What belongs to one image stays with it: strokes, sessions, results, messages."""

import shutil
from functools import partial

import numpy as np
import pytest
from napari.layers import Labels
from napari.layers._layer_actions import _duplicate_layer
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication

from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.runs.project_files import load_project
from napari_alibi_seg.gui.ownership import is_copy, is_result, is_scribbles, offered_scribbles
from napari_alibi_seg.gui.projects import RECIPE
from napari_alibi_seg.gui.sessions import session_path


def paint(desk, value, rows, columns):
    """Paint with napari's own brush call, which like a drag can be undone."""
    layer = desk.work.scribbles.layer
    where = np.s_[rows[0] : rows[1], columns[0] : columns[1]]
    layer.data_setitem(tuple(part.ravel() for part in np.mgrid[where]), value)


def paint_two(desk):
    paint(desk, 1, (18, 22), (60, 90))
    paint(desk, 2, (58, 62), (60, 80))


def segmented(desk, data, name):
    desk.open(data, name=name)
    if desk.work.source.layer.name != name:
        choose(desk, name)
    paint_two(desk)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()


def choose(desk, name):
    """Choose an image as a person does in the list."""
    desk.until(lambda: desk.panels.image.layers.findText(name) >= 0)
    place = desk.panels.image.layers.findText(name)
    desk.panels.image.layers.setCurrentIndex(place)
    desk.panels.image.layers.activated.emit(place)


def sessions(desk):
    """Return the painted values in the session files of both images."""
    found = {}
    for name in ("first", "second"):
        path = session_path(as_micrograph(desk.viewer.layers[name].data))
        found[name] = load_project(path).scribbles.array() if path.exists() else None
    return found


@pytest.fixture
def two(desk, pixels):
    """A desk with two images of one size, of which the first was segmented."""
    desk.hurry()
    segmented(desk, pixels, "first")
    desk.open(255 - pixels, name="second")
    return desk


def close(desk):
    desk.viewer.window.remove_dock_widget(desk.dock.parent())
    desk.until(lambda: not desk.controller.bridge.busy)


def reopen(desk):
    close(desk)
    open_again(desk)


def open_again(desk):
    _, desk.dock = desk.viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
    desk.until(lambda: desk.work is not None)


def test_each_image_keeps_its_strokes_classes_settings_result_and_session(two):
    desk = two
    desk.panels.classes.rows[0].recolour((10, 200, 30))
    desk.rest()
    before = desk.painted.copy(), desk.segmented.copy(), desk.panels.classes.classes

    choose(desk, "second")
    desk.rest()
    assert not desk.painted.any()
    desk.panels.training.trees.setValue(20)
    paint(desk, 1, (100, 104), (20, 60))
    desk.panels.classes.add_class()
    paint(desk, 3, (120, 124), (20, 60))
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    kept = sessions(desk)
    np.testing.assert_array_equal(kept["first"], before[0])
    np.testing.assert_array_equal(kept["second"], desk.painted)

    choose(desk, "first")
    desk.rest()
    np.testing.assert_array_equal(desk.painted, before[0])
    np.testing.assert_array_equal(desk.segmented, before[1])
    assert desk.panels.classes.classes == before[2]
    assert desk.panels.training.trees.value() == 10


def test_a_stroke_is_kept_though_another_image_is_chosen_at_once(two):
    desk = two
    paint(desk, 2, (100, 104), (20, 60))
    painted = desk.painted.copy()

    choose(desk, "second")
    desk.rest()

    np.testing.assert_array_equal(sessions(desk)["first"], painted)
    assert sessions(desk)["second"] is None


def test_a_stroke_is_kept_though_the_dock_is_closed_at_once(two):
    desk = two
    desk.rest()
    paint(desk, 2, (100, 104), (20, 60))
    path, painted = session_path(desk.work.source.micrograph), desk.painted.copy()

    desk.dock.release()

    np.testing.assert_array_equal(load_project(path).scribbles.array(), painted)
    assert not desk.controller.bridge.busy


def test_a_stroke_that_cannot_be_kept_is_told_of_when_the_dock_is_closed(two):
    desk = two
    desk.rest()
    paint(desk, 2, (100, 104), (20, 60))
    folder = session_path(desk.work.source.micrograph).parent
    shutil.rmtree(folder)
    folder.write_text("a file in the way")

    desk.dock.release()

    told = [record.message for record in notification_manager.records]
    assert any("not kept for the next time" in message for message in told)
    assert not desk.controller.bridge.busy


@pytest.mark.parametrize("away", ["another image", "dock closed"])
def test_strokes_and_result_follow_an_image_that_was_scaled_while_it_was_not_open(two, away):
    desk, layer = two, two.viewer.layers["first"]
    if away == "another image":
        choose(desk, "second")
        layer.scale = (4, 4)
        choose(desk, "first")
    else:
        close(desk)
        layer.scale = (4, 4)
        open_again(desk)
        choose(desk, "first")
    desk.rest()

    assert desk.work.source.layer == layer
    for one in (desk.work.scribbles.layer, *desk.work.result.layers):
        assert one.scale.tolist() == [4, 4]


def test_strokes_on_a_channel_follow_an_image_that_was_scaled_while_another_was_used(desk, pixels):
    desk.hurry()
    desk.open(np.stack([pixels, 255 - pixels]), name="channels")
    layer = desk.work.source.layer
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    paint_two(desk)
    desk.choose_channels((1,))
    layer.scale = (1, 4, 4)
    desk.choose_channels((0,))
    assert desk.work.scribbles.layer.scale.tolist() == [4, 4]
    desk.rest()


def test_labels_of_the_person_stay_where_they_are_when_their_image_is_chosen_again(two):
    desk, layer = two, two.viewer.layers["first"]
    mine = desk.viewer.add_labels(np.zeros(desk.painted.shape, np.uint8), scale=(2, 2))
    desk.choose_scribbles(mine)
    choose(desk, "second")
    choose(desk, "first")
    desk.rest()
    assert desk.work.source.layer == layer
    assert desk.work.scribbles.layer == mine
    assert mine.scale.tolist() == [2, 2]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_corrected_copy_of_a_result_is_seen_with_its_image_unless_hidden(two, hidden):
    desk = two
    choose(desk, "first")
    desk.viewer.layers.selection = {desk.work.result.labels}
    _duplicate_layer(desk.viewer.__wrapped__.layers)
    [copy] = [layer for layer in desk.viewer.layers if is_copy(layer)]
    copy.visible = not hidden
    choose(desk, "first")
    assert copy.visible is not hidden

    choose(desk, "second")
    assert not copy.visible
    choose(desk, "first")
    assert copy.visible is not hidden
    desk.rest()


def test_an_offer_belongs_to_its_image(two, pixels):
    desk = two
    painted = desk.painted.copy()
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels.copy(), name="again")
    desk.until(lambda: "before" in desk.panels.strip.words)
    desk.open(255 - pixels, name="other")

    choose(desk, "other")
    assert desk.panels.strip.words == ""
    assert desk.panels.strip.buttons == []
    assert not desk.painted.any()
    desk.rest()

    choose(desk, "again")
    desk.until(lambda: "before" in desk.panels.strip.words)
    desk.panels.strip.buttons[0].click()
    desk.rest()
    np.testing.assert_array_equal(desk.painted, painted)


def test_an_offer_outlasts_a_blank_layer_that_is_removed(two, pixels):
    desk = two
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels.copy(), name="again")
    desk.until(lambda: desk.panels.strip.words.startswith("You painted"))

    desk.viewer.layers.remove("scribbles on again")
    desk.rest()
    assert desk.panels.strip.words.startswith("You painted")
    desk.panels.strip.buttons[0].click()
    desk.rest()

    assert desk.painted.any()


def test_an_offer_that_was_dismissed_is_not_made_again(two, pixels):
    desk = two
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels.copy(), name="again")
    desk.until(lambda: "before" in desk.panels.strip.words)
    desk.panels.strip.buttons[-1].click()
    desk.controller.ask(new=False)
    desk.rest()
    assert desk.panels.strip.words == ""


def test_strokes_of_an_image_that_was_closed_are_not_taken_for_another(desk, pixels):
    desk.hurry()
    segmented(desk, pixels, "first")
    scribbles = desk.work.scribbles.layer
    desk.viewer.layers.remove(desk.work.source.layer)
    desk.rest()

    desk.open(255 - pixels, name="second")
    desk.rest()

    assert desk.work.scribbles.layer != scribbles
    assert not desk.painted.any()
    assert scribbles in desk.viewer.layers


def test_planes_of_one_image_are_not_asked_for_in_another(desk, pixels, monkeypatch):
    monkeypatch.setattr("napari_alibi_seg.gui.stack.LONG_S", 0)
    desk.hurry()
    desk.open(np.stack([pixels] * 3), name="stack")
    for row, value in ((18, 1), (58, 2)):
        where = tuple(part.ravel() for part in np.mgrid[0:1, row : row + 4, 60:90])
        desk.work.scribbles.layer.data_setitem(where, value)
    desk.until(lambda: desk.work.fitted is not None)
    desk.rest()
    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: "3 planes" in desk.panels.strip.words)
    start = desk.panels.strip.buttons[0]
    desk.open(255 - pixels, name="plane")
    desk.rest()
    start.click()

    choose(desk, "plane")
    desk.rest()

    assert desk.panels.strip.words == ""
    assert desk.controller.stack.planes == ()


def test_the_image_that_is_chosen_is_seen(two):
    desk = two
    first, second = (desk.viewer.layers[name] for name in ("first", "second"))
    scribbles, result = desk.work.scribbles.layer, desk.work.result.labels

    choose(desk, "second")
    desk.rest()
    assert second.visible
    assert not scribbles.visible
    assert not result.visible
    assert desk.viewer.layers.selection.active == desk.work.scribbles.layer

    choose(desk, "first")
    desk.rest()
    assert first.visible
    assert not second.visible
    assert scribbles.visible
    assert result.visible
    assert desk.viewer.layers.selection.active == scribbles
    assert scribbles.mode == "paint"


def test_an_image_does_not_show_through_where_another_has_no_data(desk, pixels):
    desk.hurry()
    desk.open(pixels, name="under")
    framed = pixels.astype(float)
    framed[:20] = np.nan
    desk.open(framed, name="framed")
    desk.rest()
    under, framed = (desk.viewer.layers[name] for name in ("under", "framed"))

    choose(desk, "framed")
    desk.rest()
    assert framed.visible
    assert not under.visible

    choose(desk, "under")
    desk.rest()
    assert under.visible
    assert not framed.visible


def test_an_image_that_is_opened_is_worked_on_while_nothing_is_painted(desk, pixels):
    desk.hurry()
    desk.open(pixels, name="first")
    second = desk.open(255 - pixels, name="second")

    desk.until(lambda: desk.work.source.layer == second)
    desk.rest()

    assert desk.panels.image.layers.currentData() == second
    assert desk.viewer.layers.selection.active == desk.work.scribbles.layer
    paint_two(desk)
    desk.until(lambda: desk.segmented is not None)
    assert desk.work.source.layer == second


def test_an_image_that_hides_the_painted_one_is_offered(two, pixels):
    desk = two
    first, second = (desk.viewer.layers[name] for name in ("first", "second"))
    desk.until(lambda: "'second' was opened" in desk.panels.strip.words)
    assert desk.work.source.layer == first
    assert "Go to 'second', or stay with 'first'?" in desk.panels.strip.words
    go, stay, _ = desk.panels.strip.buttons
    assert (go.text(), stay.text()) == ("Go there", "Stay here")
    desk.open(pixels.copy(), name="third")
    desk.rest()
    assert "'second' was opened" in desk.panels.strip.words  # until it is answered
    desk.viewer.layers["third"].visible = False

    stay.click()
    assert not second.visible
    assert desk.work.source.layer == first

    desk.open(pixels.copy(), name="fourth")
    fourth = desk.viewer.layers["fourth"]
    desk.until(lambda: "'fourth' was opened" in desk.panels.strip.words)
    desk.panels.strip.buttons[0].click()
    assert fourth.visible
    assert desk.work.source.layer == fourth


@pytest.mark.parametrize("mode", ["paint", "erase", "pan_zoom"])
def test_who_stays_goes_on_with_the_strokes_as_before(two, mode):
    desk = two
    scribbles = desk.work.scribbles.layer
    scribbles.mode = mode
    desk.until(lambda: "'second' was opened" in desk.panels.strip.words)
    assert desk.viewer.layers.selection.active == desk.viewer.layers["second"]

    desk.panels.strip.buttons[1].click()

    assert desk.viewer.layers.selection.active == scribbles
    assert scribbles.mode == mode
    before = desk.painted.copy()
    desk.stroke((18, 75), (100, 75))
    desk.rest()
    assert (desk.painted != before).any() == (mode != "pan_zoom")


def test_the_brush_is_as_large_on_every_image(desk, pixels):
    desk.hurry()
    desk.viewer.open_sample("napari-alibi-seg", "steel")
    desk.until(lambda: desk.work is not None)
    assert desk.painted.any()
    assert desk.work.scribbles.layer.brush_size == 5

    desk.work.scribbles.layer.brush_size = 12
    desk.choose_image(desk.viewer.add_image(pixels))
    assert desk.work.scribbles.layer.brush_size == 12


def test_an_image_beside_another_stays_in_view(two, pixels):
    desk = two
    beside = desk.open(pixels[:90], name="beside", translate=(0, 500))
    overlay = desk.open(pixels, name="overlay", blending="additive")

    choose(desk, "first")

    assert beside.visible
    assert overlay.visible
    assert not desk.viewer.layers["second"].visible


def test_a_dock_that_is_opened_again_goes_on_with_what_is_there(desk, pixels):
    desk.hurry()
    segmented(desk, pixels, "first")
    desk.rename(1, "matrix")
    desk.panels.classes.rows[1].recolour((10, 200, 30))
    desk.panels.result.opacity.setValue(80)
    desk.rest()
    layers, shown = list(desk.viewer.layers), desk.segmented.copy()
    classes, result = desk.panels.classes.classes, desk.work.result.labels
    path = session_path(desk.work.source.micrograph)

    reopen(desk)
    desk.rest()
    paint(desk, 1, (100, 104), (20, 60))
    desk.rest()

    assert list(desk.viewer.layers) == layers
    assert desk.work.result.labels == result
    assert (desk.segmented != shown).any()
    assert desk.panels.classes.classes == classes
    assert desk.panels.result.opacity.value() == 80
    assert desk.panels.training.trees.value() == 10
    np.testing.assert_array_equal(load_project(path).scribbles.array(), desk.painted)
    assert list(path.parent.iterdir()) == [path]  # the same session goes on


def test_a_dock_that_is_opened_again_goes_on_with_the_image_last_worked_on(two, pixels):
    desk = two
    first, second = (desk.viewer.layers[name] for name in ("first", "second"))
    desk.until(lambda: "'second' was opened" in desk.panels.strip.words)
    desk.panels.strip.buttons[1].click()
    for active in (second, first, desk.work.scribbles.layer):
        desk.viewer.layers.selection.active = active
        painted, shown = desk.painted.copy(), desk.work.result.labels

        reopen(desk)
        desk.rest()

        assert desk.work.source.layer == first
        np.testing.assert_array_equal(desk.painted, painted)
        assert desk.work.result.labels == shown
        assert (first.visible, shown.visible, second.visible) == (True, True, False)


def test_a_dock_that_is_opened_again_turns_to_an_image_opened_meanwhile(segmented_desk, pixels):
    desk = segmented_desk
    desk.viewer.window.remove_dock_widget(desk.dock.parent())
    desk.until(lambda: not desk.controller.bridge.busy)
    meanwhile = desk.viewer.add_image(255 - pixels, name="meanwhile")

    _, desk.dock = desk.viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
    desk.until(lambda: desk.work is not None)
    desk.rest()

    assert desk.work.source.layer == meanwhile


def test_a_dock_that_is_opened_again_reads_a_channel_as_before(desk, pixels):
    desk.hurry()
    desk.open(np.stack([pixels, 255 - pixels]), name="channels")
    desk.panels.image.readings.setCurrentIndex(1)
    desk.panels.image.readings.activated.emit(1)
    desk.panels.image.channels.activated.emit(1)
    paint_two(desk)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    painted, layers = desk.painted.copy(), list(desk.viewer.layers)

    reopen(desk)
    desk.rest()

    assert (desk.work.source.reading.axes, desk.work.source.channels) == ("CYX", (1,))
    np.testing.assert_array_equal(desk.painted, painted)
    assert list(desk.viewer.layers) == layers


def test_sessions_that_are_declined_or_damaged_are_numbered(two, pixels):
    desk = two
    path = session_path(desk.work.source.micrograph)
    first = path.read_bytes()
    for number, content in ((1, first), (2, b"no session"), (3, None)):
        desk.viewer.layers.clear()
        desk.rest()
        if number == 2:
            path.write_bytes(content)
        desk.open(pixels.copy(), name=f"opening {number}")
        desk.until(lambda: "on this image" in desk.panels.strip.words)
        if number != 2:
            desk.panels.strip.buttons[1].click()
        paint(desk, 1, (18, 22), (60, 60 + 10 * number))
        desk.rest()
        np.testing.assert_array_equal(load_project(path).scribbles.array(), desk.painted)

    assert path.with_suffix(".1.alibi").read_bytes() == first
    assert path.with_suffix(".2.alibi").read_bytes() == b"no session"
    assert load_project(path.with_suffix(".3.alibi")).scribbles.values.size == 4 * 20


@pytest.mark.parametrize("apart", ["layers", "copies", "images"])
def test_two_layers_painted_on_the_same_pixels_have_one_session_file_each(two, pixels, apart):
    desk = two
    if apart == "images":
        desk.open(pixels.copy(), name="same")
        turns = [partial(choose, desk, name) for name in ("same", "first")]
    else:
        if apart == "copies":
            desk.viewer.layers.selection.active = desk.work.scribbles.layer
            _duplicate_layer(desk.viewer.layers)
            other = desk.viewer.layers[desk.work.scribbles.layer.name + " copy"]
        else:
            other = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="other")
        layers = (other, desk.work.scribbles.layer)
        turns = [partial(desk.choose_scribbles, layer) for layer in layers]
    turns[0]()
    paint(desk, 1, (100, 104), (60, 90))
    desk.rest()
    painted = {"other": desk.painted.copy()}
    for _ in range(3):
        for turn in turns[::-1]:
            turn()
            desk.rest()
    turns[1]()
    paint(desk, 2, (120, 124), (60, 90))
    desk.rest()
    painted["first"] = desk.painted.copy()

    path = session_path(desk.work.source.micrograph)
    [aside] = set(path.parent.iterdir()) - {path}
    for file, name in ((path, "first"), (aside, "other")):
        np.testing.assert_array_equal(load_project(file).scribbles.array(), painted[name])


def test_a_session_that_cannot_be_kept_is_told_and_the_result_follows(desk, pixels, tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    desk.hurry()
    segmented(desk, pixels, "first")
    assert "is not kept" in desk.panels.strip.words
    assert set(np.unique(desk.segmented)) == {1, 2}


def test_strokes_of_another_size_are_explained_and_never_painted(two, pixels, tmp_path):
    desk = two
    desk.dock.exports.save_project(tmp_path / "p.alibi")
    desk.until(lambda: "Written" in desk.panels.strip.words)
    desk.rest()
    for copy in tmp_path.glob("p_image_*.tif"):
        copy.unlink()
    binned = pixels[::2, ::2]
    desk.open(binned, name="binned")
    choose(desk, "binned")

    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: "never stretched" in desk.panels.strip.words)
    desk.rest()

    assert "140 x 180" in desk.panels.strip.words
    assert "70 x 90" in desk.panels.strip.words
    assert desk.painted.shape == binned.shape
    assert not desk.painted.any()


def test_a_session_file_of_another_size_is_explained_and_never_painted(two, pixels):
    desk = two
    earlier = session_path(desk.work.source.micrograph).read_bytes()
    desk.open(pixels[::2, ::2], name="binned")
    choose(desk, "binned")
    desk.rest()
    session_path(desk.work.source.micrograph).write_bytes(earlier)
    desk.controller.ask()
    desk.until(lambda: "before" in desk.panels.strip.words)

    desk.panels.strip.buttons[0].click()

    assert "never stretched" in desk.panels.strip.words
    assert not desk.painted.any()


@pytest.mark.parametrize("kind", ["project", "classifier"])
def test_what_is_read_while_another_image_is_chosen_is_not_used_there(two, tmp_path, kind):
    desk, exports, reuse = two, two.dock.exports, two.dock.reuse
    save, read, path = {
        "project": (exports.save_project, reuse.open_project, tmp_path / "p.alibi"),
        "classifier": (exports.save, reuse.load, tmp_path / "c.skops"),
    }[kind]
    save(path)
    desk.until(lambda: "Written" in desk.panels.strip.words)
    desk.rest()

    read(path)
    choose(desk, "second")
    desk.until(lambda: "Another image" in desk.panels.strip.words)
    desk.rest()

    assert not desk.painted.any()
    assert desk.work.loaded is None


def test_strokes_that_were_left_for_others_are_not_taken_for_another_image(two):
    desk = two
    left = desk.work.scribbles.layer
    left.name = "phases"
    desk.viewer.add_labels(np.zeros_like(desk.painted), name="mine")
    desk.choose_scribbles(desk.viewer.layers["mine"])
    desk.rest()

    choose(desk, "second")
    desk.rest()
    assert desk.work.scribbles.layer is not left
    assert not desk.painted.any()


def test_labels_of_another_size_or_place_are_explained(two):
    desk = two
    desk.viewer.add_labels(np.ones((70, 90), int), name="small")
    desk.viewer.add_labels(np.array(desk.painted), name="aside", scale=(2, 2))
    desk.rest()
    before = desk.work.scribbles.layer

    desk.panels.classes.layers.chosen.emit(desk.viewer.layers["small"])
    assert "70 x 90" in desk.panels.strip.words
    assert desk.work.scribbles.layer == before
    assert desk.panels.classes.layers.currentData() == before

    aside = desk.viewer.layers["aside"]
    desk.panels.classes.layers.chosen.emit(aside)
    assert "pixel size" in desk.panels.strip.words
    desk.panels.strip.buttons[0].click()
    desk.rest()
    assert desk.work.scribbles.layer == aside
    np.testing.assert_array_equal(aside.scale, (1, 1))


def test_only_the_layers_of_one_image_are_results_and_scribbles_of_it(two):
    desk = two
    choose(desk, "second")
    paint_two(desk)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    QApplication.processEvents()

    labels = [layer for layer in desk.viewer.layers if isinstance(layer, Labels)]
    assert sum(is_result(layer) for layer in labels) == 2
    assert sum(is_scribbles(layer) for layer in labels) == 2
    assert {layer.name for layer in labels if layer.visible} == {
        "scribbles on second",
        "segmentation of second",
    }


def test_what_belongs_to_a_removed_image_is_offered_to_be_removed_and_its_classes_go(desk, pixels):
    desk.hurry()
    desk.open(pixels, name="alloy")
    desk.two_strokes()
    desk.panels.classes.add_class()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    image = desk.work.source.layer
    desk.viewer.layers.remove(image)
    desk.rest()

    assert "'alloy' was removed" in desk.panels.strip.words
    assert [layer.name for layer in desk.viewer.layers] == [
        "segmentation of alloy",
        "scribbles on alloy",
    ]
    assert [known.value for known in desk.panels.classes.classes] == [1, 2]
    desk.panels.strip.buttons[0].click()
    assert not desk.viewer.layers

    desk.open(pixels[::-1], name="steel")
    desk.rest()
    desk.viewer.layers.remove(desk.work.source.layer)
    desk.rest()
    assert not desk.viewer.layers
    assert desk.panels.strip.words == ""


def test_what_belongs_to_images_removed_together_is_told_of_all_of_them(two):
    desk = two
    choose(desk, "second")
    paint_two(desk)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    images = [desk.viewer.layers["first"], desk.viewer.layers["second"]]
    desk.open(np.asarray(desk.work.source.pixels)[:60], name="third")
    choose(desk, "third")
    desk.rest()
    desk.viewer.layers.selection = set(images)
    desk.viewer.layers.remove_selected()
    desk.rest()

    assert "'first' and 'second' were removed" in desk.panels.strip.words
    assert desk.panels.strip.words.count("scribbles on") == 2


def test_a_question_is_not_wiped_by_an_image_that_goes(two):
    desk, strip = two, two.panels.strip
    choose(desk, "second")
    paint_two(desk)
    desk.until(lambda: desk.segmented is not None)
    choose(desk, "first")
    desk.rest()
    desk.panels.classes.removal_wanted.emit(1)
    assert strip.words.startswith("Delete")

    desk.viewer.layers.remove(desk.viewer.layers["second"])
    desk.rest()

    assert strip.words.startswith("Delete")


def test_labels_of_the_person_are_given_back_when_their_image_goes(desk, pixels):
    desk.hurry()
    mine = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="mine")
    before, colours = dict(mine.metadata), mine.colormap
    desk.open(pixels, name="alloy")
    desk.choose_scribbles(mine)
    paint_two(desk)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    desk.viewer.layers.remove(desk.work.source.layer)
    desk.rest()

    assert "'segmentation of alloy'" in desk.panels.strip.words
    assert "mine" not in desk.panels.strip.words
    assert mine.colormap == colours
    assert mine.metadata.keys() - before.keys() == {RECIPE}
    desk.panels.strip.buttons[0].click()
    assert mine in desk.viewer.layers
    assert "segmentation of alloy" not in desk.viewer.layers


@pytest.mark.parametrize("act", ["choose", "close"])
def test_labels_of_the_person_are_given_back_as_they_were(desk, pixels, act):
    desk.hurry()
    mine = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="mine")
    mine.brush_size, mine.selected_label, mine.mode = 17, 9, "pan_zoom"
    kept = ("colormap", "brush_size", "selected_label", "mode", "opacity")
    before, keys = [getattr(mine, name) for name in kept], set(mine.metadata)
    desk.open(pixels, name="alloy")
    own, size = desk.work.scribbles.layer, desk.work.scribbles.layer.brush_size
    desk.choose_scribbles(mine)
    paint_two(desk)
    desk.key("2")
    desk.rest()

    if act == "choose":
        desk.choose_scribbles(own)
        desk.rest()
        assert own.brush_size == size
    else:
        desk.dock.release()

    assert [getattr(mine, name) for name in kept] == before
    assert set(mine.metadata) - keys == {RECIPE}
    assert mine.data.any()


def test_strokes_of_a_channel_of_another_image_are_not_offered(desk, pixels):
    desk.hurry()
    desk.open(np.stack([pixels, 255 - pixels]), name="first")
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    paint_two(desk)
    left = desk.work.scribbles.layer
    assert left.name == "scribbles on first, channel 0"
    mine = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="mine")
    desk.choose_scribbles(mine)
    desk.open(pixels, name="second")
    choose(desk, "second")
    desk.rest()

    offered = offered_scribbles(desk.viewer.layers, desk.work.source)

    assert left not in offered
    assert [layer.name for layer in offered] == ["scribbles on second"]
