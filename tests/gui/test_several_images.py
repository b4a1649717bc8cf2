"""What belongs to one image stays with it: strokes, sessions, results, messages."""

import shutil
from functools import partial
from html import escape

import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._layer_actions import _duplicate_layer
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication

from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.runs.project_files import load_project
from napari_alibi_seg.gui.ownership import is_copy, is_result, is_scribbles, offered_scribbles
from napari_alibi_seg.gui.parts import LayerCombo
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
    paint(desk, 2, (100, 104), (20, 60))
    painted, classes = desk.painted.copy(), desk.panels.classes.classes
    assert desk.panels.image.layers.count() == 2

    choose(desk, "second")  # at once
    desk.rest()
    np.testing.assert_array_equal(sessions(desk)["first"], painted)
    assert sessions(desk)["second"] is None
    choose(desk, "first")
    desk.rest()
    shown = desk.segmented.copy()

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
    np.testing.assert_array_equal(kept["first"], painted)
    np.testing.assert_array_equal(kept["second"], desk.painted)

    choose(desk, "first")
    desk.rest()
    np.testing.assert_array_equal(desk.painted, painted)
    np.testing.assert_array_equal(desk.segmented, shown)
    assert desk.panels.classes.classes == classes
    assert desk.panels.training.trees.value() == 10


def test_undo_brings_a_deleted_class_back_after_another_image_and_a_dock_opened_again(two):
    desk = two
    choose(desk, "first")
    desk.panels.classes.add_class()
    paint(desk, 3, (100, 104), (20, 60))
    desk.rest()
    desk.rename(2, "carbide")
    desk.panels.classes.rows[1].recolour((10, 200, 30))
    desk.panels.classes.rows[1].ignore.setChecked(True)
    desk.rest()
    deleted, before = desk.panels.classes.classes[1], desk.painted.copy()
    layer = desk.work.scribbles.layer

    def values():
        return [known.value for known in desk.panels.classes.classes]

    def leave():
        choose(desk, "second")
        desk.panels.classes.add_class()
        assert values()[:3] == [1, 2, 3]  # nothing was deleted there
        choose(desk, "first")

    for added, turn in enumerate((leave, partial(reopen, desk)), 4):
        desk.panels.classes.removal_wanted.emit(2)
        desk.panels.strip.buttons[0].click()
        desk.rest()
        turn()
        desk.rest()
        assert desk.work.scribbles.layer is layer
        assert 2 not in values()

        desk.panels.classes.add_class()
        assert values() == [1, *range(3, added + 1)]
        layer.undo()
        desk.rest()
        np.testing.assert_array_equal(desk.painted, before)
        assert desk.panels.classes.classes[1] == deleted
        assert values() == [*range(1, added + 1)]
        assert 2 not in desk.segmented


def test_a_stroke_is_kept_though_the_dock_is_closed_at_once_or_told_not_to_be(two):
    desk = two
    desk.rest()
    path = session_path(desk.work.source.micrograph)
    paint(desk, 2, (100, 104), (20, 60))
    painted = desk.painted.copy()
    desk.dock.release()
    np.testing.assert_array_equal(load_project(path).scribbles.array(), painted)
    assert not desk.controller.bridge.busy

    reopen(desk)
    desk.rest()
    paint(desk, 2, (110, 114), (20, 60))
    shutil.rmtree(path.parent)
    path.parent.write_text("a file in the way")
    desk.dock.release()
    told = [record.message for record in notification_manager.records]
    assert any("not kept for the next time" in message for message in told)
    assert not desk.controller.bridge.busy


def test_strokes_and_result_follow_an_image_that_was_scaled_while_it_was_not_open(two):
    desk, layer = two, two.viewer.layers["first"]

    def check(scale):
        desk.rest()
        assert desk.work.source.layer == layer
        for one in (desk.work.scribbles.layer, *desk.work.result.layers):
            assert one.scale.tolist() == scale

    choose(desk, "second")
    layer.scale = (4, 4)
    choose(desk, "first")
    check([4, 4])

    close(desk)
    layer.scale = (3, 3)
    open_again(desk)
    choose(desk, "first")
    check([3, 3])


def test_strokes_on_a_channel_follow_its_scale_and_are_not_offered_for_another_image(desk, pixels):
    desk.hurry()
    desk.open(np.stack([pixels, 255 - pixels]), name="first", units=("pixel", "nm", "nm"))
    first = desk.work.source.layer
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    paint_two(desk)
    left = desk.work.scribbles.layer
    assert left.units == first.units[1:]
    assert left.name == "scribbles on first, channel 0"
    desk.choose_channels((1,))
    first.scale = (1, 4, 4)
    desk.choose_channels((0,))
    assert desk.work.scribbles.layer == left
    assert left.scale.tolist() == [4, 4]

    first.scale = (1, 1, 1)
    mine = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="mine")
    desk.choose_scribbles(mine)
    desk.open(pixels, name="second")
    choose(desk, "second")
    desk.rest()
    offered = offered_scribbles(desk.viewer.layers, desk.work.source)
    assert left not in offered
    assert [layer.name for layer in offered] == ["scribbles on second"]


def test_labels_of_the_person_stay_with_their_image_and_strokes_left_for_them_are_not_taken(two):
    desk, layer = two, two.viewer.layers["first"]
    left = desk.work.scribbles.layer
    left.name = "phases"
    mine = desk.viewer.add_labels(np.zeros(desk.painted.shape, np.uint8), scale=(2, 2))
    desk.choose_scribbles(mine)
    desk.rest()

    choose(desk, "second")
    desk.rest()
    assert desk.work.scribbles.layer is not left
    assert not desk.painted.any()

    choose(desk, "first")
    desk.rest()
    assert desk.work.source.layer == layer
    assert desk.work.scribbles.layer == mine
    assert mine.scale.tolist() == [2, 2]


def test_a_corrected_copy_of_a_result_is_seen_with_its_image_unless_hidden(two):
    desk = two
    choose(desk, "first")
    desk.viewer.layers.selection = {desk.work.result.labels}
    _duplicate_layer(desk.viewer.__wrapped__.layers)
    [copy] = [layer for layer in desk.viewer.layers if is_copy(layer)]
    for visible in (True, False):
        copy.visible = visible
        choose(desk, "first")
        assert copy.visible is visible
        choose(desk, "second")
        assert not copy.visible
        choose(desk, "first")
        assert copy.visible is visible
    desk.rest()


def opened_again(desk, pixels):
    """Close all images and open the first one once more, for which strokes are offered."""
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels.copy(), name="again")
    desk.until(lambda: desk.panels.strip.words.startswith("You painted"))


def test_an_offer_stands_until_it_is_taken_or_dismissed_and_belongs_to_its_image(two, pixels):
    desk, strip, painted = two, two.panels.strip, two.painted.copy()
    opened_again(desk, pixels)
    strip.buttons[-1].click()
    desk.controller.ask(new=False)
    desk.rest()
    assert strip.words == ""

    opened_again(desk, pixels)
    desk.viewer.layers.remove("scribbles on again")
    desk.rest()
    assert strip.words.startswith("You painted")

    desk.open(255 - pixels, name="other")
    choose(desk, "other")
    assert strip.words == ""
    assert strip.buttons == []
    assert not desk.painted.any()
    desk.rest()

    choose(desk, "again")
    desk.until(lambda: "before" in strip.words)
    strip.buttons[0].click()
    desk.rest()
    np.testing.assert_array_equal(desk.painted, painted)


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


def test_the_image_that_is_chosen_is_seen(two, pixels):
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

    beside = desk.open(pixels[:90], name="beside", translate=(0, 500))
    overlay = desk.open(pixels, name="overlay", blending="additive")
    choose(desk, "first")
    assert beside.visible
    assert overlay.visible
    assert not second.visible


def test_an_image_does_not_show_through_where_another_has_no_data(desk, pixels):
    desk.hurry()
    desk.open(pixels, name="under")
    framed = pixels.astype(float)
    framed[:20] = np.nan
    desk.open(framed, name="framed")
    under, framed = (desk.viewer.layers[name] for name in ("under", "framed"))
    for name, seen, hidden in (("framed", framed, under), ("under", under, framed)):
        choose(desk, name)
        desk.rest()
        assert seen.visible
        assert not hidden.visible


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


def test_who_stays_goes_on_with_the_strokes_as_before(two, pixels):
    desk, scribbles = two, two.work.scribbles.layer
    for mode, name, column in (
        ("paint", "second", 75),
        ("erase", "third", 75),
        ("pan_zoom", "4", 90),
    ):
        if name != "second":
            scribbles.mode = mode
            desk.open(pixels.copy(), name=name)
        desk.until(lambda name=name: f"'{name}' was opened" in desk.panels.strip.words)
        assert desk.viewer.layers.selection.active == desk.viewer.layers[name]

        desk.panels.strip.buttons[1].click()

        assert desk.viewer.layers.selection.active == scribbles
        assert scribbles.mode == mode
        before = desk.painted.copy()
        desk.stroke((18, column), (100, column))
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


def test_a_dock_that_is_opened_again_goes_on_with_what_is_there_or_opened_meanwhile(desk, pixels):
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

    close(desk)
    meanwhile = desk.viewer.add_image(255 - pixels, name="meanwhile")
    open_again(desk)
    desk.rest()
    assert desk.work.source.layer == meanwhile


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


def test_layers_painted_on_the_same_pixels_have_one_session_file_each(two, pixels):
    desk, own = two, two.work.scribbles.layer
    desk.viewer.layers.selection.active = own
    _duplicate_layer(desk.viewer.layers)
    copy = desk.viewer.layers[own.name + " copy"]
    other = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="other")
    desk.open(pixels.copy(), name="same")

    def own_image(layer):
        if desk.work.source.layer.name != "first":
            choose(desk, "first")
        desk.choose_scribbles(layer)

    turns = [
        partial(choose, desk, "same"),
        *(partial(own_image, one) for one in (copy, other, own)),
    ]
    painted = {}
    for row in (80, 84):
        for place, turn in enumerate(turns):
            turn()
            paint(desk, 1, (row, row + 4), (20 * place, 20 * place + 30))
            desk.rest()
            painted[place] = desk.painted.copy()
    for turn in turns:
        turn()
        desk.rest()

    path = session_path(desk.work.source.micrograph)
    np.testing.assert_array_equal(load_project(path).scribbles.array(), painted.pop(3))
    aside = [load_project(one).scribbles.array() for one in path.parent.iterdir() if one != path]
    assert len(aside) == 3
    for kept in painted.values():
        assert sum(np.array_equal(kept, one) for one in aside) == 1


def test_a_session_that_cannot_be_kept_is_told_and_the_result_follows(desk, pixels, tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    desk.hurry()
    segmented(desk, pixels, "first")
    assert "is not kept" in desk.panels.strip.words
    assert set(np.unique(desk.segmented)) == {1, 2}


def test_strokes_of_another_size_are_explained_and_never_painted(two, pixels, tmp_path):
    desk, strip = two, two.panels.strip
    earlier = session_path(desk.work.source.micrograph).read_bytes()
    desk.dock.exports.save_project(tmp_path / "p.alibi")
    desk.until(lambda: "Written" in strip.words)
    desk.rest()
    for copy in tmp_path.glob("p_image_*.tif"):
        copy.unlink()
    binned = pixels[::2, ::2]
    desk.open(binned, name="binned")
    choose(desk, "binned")
    desk.rest()

    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: "never stretched" in strip.words)
    desk.rest()
    assert "140 x 180" in strip.words
    assert "70 x 90" in strip.words
    assert desk.painted.shape == binned.shape
    assert not desk.painted.any()

    session_path(desk.work.source.micrograph).write_bytes(earlier)
    desk.controller.ask()
    desk.until(lambda: "before" in strip.words)
    strip.buttons[0].click()
    assert "never stretched" in strip.words
    assert not desk.painted.any()


def test_what_is_read_while_another_image_is_chosen_is_not_used_there(two, tmp_path):
    desk, exports, reuse, strip = two, two.dock.exports, two.dock.reuse, two.panels.strip
    for save, read, path in (
        (exports.save_project, reuse.open_project, tmp_path / "p.alibi"),
        (exports.save, reuse.load, tmp_path / "c.skops"),
    ):
        choose(desk, "first")
        desk.rest()
        save(path)
        desk.until(lambda: "Written" in strip.words)
        desk.rest()

        read(path)
        choose(desk, "second")
        desk.until(lambda: "Another image" in strip.words)
        desk.rest()

        assert not desk.painted.any()
        assert desk.work.loaded is None


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


def test_only_the_layers_of_one_image_are_its_own_and_no_question_on_them_goes_with_another(two):
    desk, strip = two, two.panels.strip
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

    desk.panels.classes.removal_wanted.emit(1)
    assert strip.words.startswith("Delete")
    desk.viewer.layers.remove(desk.viewer.layers["first"])
    desk.rest()
    assert strip.words.startswith("Delete")


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


def test_labels_of_the_person_are_given_back_as_they_were(desk, pixels):
    desk.hurry()
    kept = ("colormap", "brush_size", "selected_label", "mode", "opacity")
    desk.open(pixels, name="alloy")
    own, size = desk.work.scribbles.layer, desk.work.scribbles.layer.brush_size

    def choose_own():
        desk.choose_scribbles(own)
        desk.rest()
        assert own.brush_size == size

    for give_back in (choose_own, desk.dock.release):
        mine = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8))
        mine.brush_size, mine.selected_label, mine.mode = 17, 9, "pan_zoom"
        before, keys = [getattr(mine, name) for name in kept], set(mine.metadata)
        desk.choose_scribbles(mine)
        paint_two(desk)
        desk.key("2")
        desk.rest()

        give_back()

        assert [getattr(mine, name) for name in kept] == before
        assert set(mine.metadata) - keys == {RECIPE}
        assert mine.data.any()


def test_long_names_that_differ_at_the_end_are_told_apart_and_written_out_in_the_tooltip(qtbot):
    names = [f"2024-11-17_superalloy_30kV_BSE_<b>000{number}" for number in (1, 2)]
    layers, combo, drawn = [Image(np.zeros((2, 2)), name=name) for name in names], LayerCombo(), []
    qtbot.addWidget(combo)
    combo.resize(140, 26)
    combo.annotate("MIT")
    for layer in layers:
        combo.offer(layers, layer)
        drawn.append(combo.grab().toImage())
        assert [escape(layer.name) in combo.toolTip(), "MIT" in combo.toolTip()] == [True, True]
    assert drawn[0] != drawn[1]
    combo.offer(layers, None)
    assert combo.grab().toImage() != drawn[1]
    assert combo.toolTip() == "<p>MIT</p>"
