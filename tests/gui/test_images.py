import math
from itertools import combinations

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_alibi_seg.gui.painting import DEBOUNCE_MS, colormap
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.records import PaintClass
from napari_alibi_seg.gui.scripts import command


@pytest.fixture
def quick_desk(desk):
    desk.hurry()
    return desk


def segmented(desk, data, **options):
    desk.open(data, **options)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()


def test_strokes_on_several_planes_train_one_forest(desk, pixels):
    desk.open(np.stack([pixels, 255 - pixels, pixels[::-1]]))
    desk.viewer.dims.set_current_step(0, 0)
    desk.stroke((18, 60), (18, 110))
    desk.viewer.dims.set_current_step(0, 2)
    desk.rest()
    desk.key("2")
    desk.stroke((80, 60), (80, 100))
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert set(np.unique(desk.painted[0])) == {0, 1}
    assert set(np.unique(desk.painted[2])) == {0, 2}
    assert desk.segmented[2].all()
    assert not desk.segmented[1].any()
    desk.viewer.dims.set_current_step(0, 1)
    desk.until(lambda: desk.segmented[1].all())


def test_the_whole_stack_is_segmented_on_demand(quick_desk, pixels):
    desk = quick_desk
    segmented(desk, np.stack([pixels, pixels[:, ::-1], pixels[::-1]]))
    shown = desk.viewer.dims.current_step[0]
    assert sum(plane.any() for plane in desk.segmented) == 1

    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: "All 3 planes" in desk.panels.strip.words)

    assert desk.segmented.all()
    assert desk.viewer.dims.current_step[0] == shown


def test_another_plane_is_ordered_once(stacked):
    desk, orders = stacked, []
    ask = desk.controller.bridge.ask
    desk.controller.bridge.ask = lambda order: (orders.append(order.request.planes), ask(order))

    desk.viewer.dims.set_point(0, 2)
    desk.qtbot.wait(2 * DEBOUNCE_MS)
    desk.rest()

    assert orders == [((2,),)]
    assert desk.segmented[2].all()


def test_three_dimensional_display_does_no_harm(quick_desk, pixels):
    desk = quick_desk
    segmented(desk, np.stack([pixels] * 3))

    desk.viewer.dims.ndisplay = 3
    desk.rest()
    desk.panels.result.live.setChecked(False)
    desk.panels.result.update_button.click()
    desk.rest()
    desk.viewer.dims.ndisplay = 2
    desk.rest()

    assert desk.panels.strip.words == ""
    assert desk.panels.image.chip.state is ChipState.READY


def test_colour(quick_desk, pixels):
    colour = np.stack([pixels, pixels // 2, 255 - pixels], axis=-1)

    segmented(quick_desk, colour, rgb=True)

    assert quick_desk.segmented.shape == pixels.shape
    assert quick_desk.work.fitted.bands == 3


def test_channels_can_be_chosen(quick_desk, pixels):
    desk = quick_desk
    desk.open(np.stack([pixels, 255 - pixels]))
    assert desk.painted.shape == (2, 140, 180)
    assert desk.panels.image.readings.isVisibleTo(desk.dock)
    assert not desk.panels.image.channels.isVisibleTo(desk.dock)

    desk.panels.image.readings.setCurrentIndex(1)
    desk.panels.image.readings.activated.emit(1)
    desk.rest()
    assert desk.painted.shape == (140, 180)
    assert desk.panels.image.channels.count() == 3  # each, and all together

    desk.panels.image.channels.setCurrentIndex(1)
    desk.panels.image.channels.activated.emit(1)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    np.testing.assert_array_equal(desk.work.source.micrograph.data, 255 - pixels)


def test_channels_can_be_used_together(quick_desk, pixels):
    desk = quick_desk
    desk.open(np.stack([pixels, 255 - pixels]).astype(np.uint16) * [[[1]], [[100]]])
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    desk.panels.image.channels.setCurrentIndex(2)
    desk.panels.image.channels.activated.emit(2)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert desk.work.source.channels == (0, 1)
    assert desk.work.fitted.bands == 2
    assert desk.segmented.shape == pixels.shape
    assert desk.panels.image.channels.currentText() == "all channels together"
    assert "--channels 0,1" in command(desk.work.source, desk.controller.effective_settings, ())


@pytest.mark.parametrize(
    ("chosen", "count", "then"), [((0, 1, 2), 5, (0,)), ((4,), 2, (0,)), ((1,), 2, (1,))]
)
def test_channels_that_are_gone_are_no_longer_chosen(quick_desk, pixels, chosen, count, then):
    desk = quick_desk
    planes = np.stack([pixels, 255 - pixels, pixels // 2, pixels[::-1], pixels[:, ::-1]])
    desk.open(planes[: max(3, max(chosen) + 1)])
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    desk.choose_channels(chosen)
    desk.rest()

    desk.work.source.layer.data = planes[:count]
    desk.rest()

    assert desk.work.source.channels == then
    assert desk.panels.image.channels.count() == count + 1
    assert desk.panels.image.channels.currentIndex() == then[0]
    assert desk.panels.strip.words == ""
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()


@pytest.mark.parametrize(
    ("axes", "shape"), [("CYX", (140, 180)), ("TYX", (2, 140, 180)), ("CTYX", (3, 140, 180))]
)
def test_axes_are_read_as_the_file_names_them(quick_desk, pixels, tmp_path, axes, shape):
    path, pair = tmp_path / "channels.ome.tif", np.stack([pixels, 255 - pixels])
    data = pair if len(axes) == 3 else np.stack([pair] * 3, axis=1)
    tifffile.imwrite(path, data, metadata={"axes": axes})

    desk = quick_desk
    desk.viewer.open(path, plugin="napari")
    desk.until(lambda: desk.work is not None)

    assert desk.work.source.reading.axes == axes
    assert desk.panels.image.readings.count() == 3
    assert desk.painted.shape == shape


def test_planes_with_channels_in_each_are_refused(quick_desk, pixels, tmp_path):
    data = np.stack([[pixels, 255 - pixels]] * 3)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "TCYX"})
    quick_desk.viewer.open(tmp_path / "a.ome.tif", plugin="napari")
    quick_desk.until(lambda: "has channels" in quick_desk.panels.strip.words)
    assert quick_desk.work is None


def test_the_channel_that_is_segmented_is_the_one_on_the_screen(quick_desk, pixels):
    desk = quick_desk
    data = np.stack([pixels, pixels // 2, 255 - pixels])
    desk.open(data, scale=(3, 1, 1))
    desk.panels.image.readings.setCurrentIndex(1)
    desk.panels.image.readings.activated.emit(1)
    desk.rest()
    for channel in (0, 2):
        desk.panels.image.channels.setCurrentIndex(channel)
        desk.panels.image.channels.activated.emit(channel)
        desk.rest()
        assert desk.viewer.dims.current_step[0] == channel
        np.testing.assert_array_equal(desk.work.source.micrograph.data, data[channel])


def test_where_there_is_no_class_nothing_is_uncertain(quick_desk, pixels):
    framed = pixels.astype(float)
    framed[:, -30:] = np.nan
    desk = quick_desk
    desk.panels.result.uncertainty.setChecked(True)
    segmented(desk, framed)

    shown = desk.work.result.uncertainty.data
    np.testing.assert_array_equal(np.isnan(shown), np.isnan(framed))


def test_multiscale(quick_desk, pixels):
    big = np.kron(pixels, np.ones((3, 3), np.uint8))

    desk = quick_desk
    desk.open([big, big[::2, ::2], big[::4, ::4]], multiscale=True)
    desk.stroke((54, 180), (54, 330))
    desk.qtbot.wait(20)
    desk.stroke((174, 180), (174, 300))
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert desk.segmented.shape == big.shape
    assert set(np.unique(desk.segmented)) == {1, 2}


def test_lazy_volumes_are_not_read_whole(quick_desk, pixels):
    read = []

    def plane(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        return pixels[None]

    lazy = da.map_blocks(plane, chunks=((1,) * 64, (140,), (180,)), dtype=np.uint8, meta=pixels)
    segmented(quick_desk, lazy)

    assert len(quick_desk.segmented) == 64
    assert len(set(read)) < 40  # the planes sampled for the grey levels, not all


def test_replaced_pixels_are_segmented_anew(quick_desk, pixels):
    desk = quick_desk
    segmented(desk, pixels)
    before, painted = desk.segmented.copy(), desk.painted.copy()

    desk.work.source.layer.data = 255 - pixels[:, ::-1]
    desk.rest()

    np.testing.assert_array_equal(desk.painted, painted)
    assert set(np.unique(desk.segmented)) == {1, 2}
    assert (desk.segmented != before).any()
    assert len(desk.viewer.layers) == 3
    assert desk.panels.strip.words.startswith("The pixels of 'data' have changed; check")


def test_strokes_that_do_not_fit_an_image_any_more_are_said_to_be_kept(quick_desk, pixels):
    desk, strip = quick_desk, quick_desk.panels.strip
    desk.open(pixels, name="alloy")
    desk.work.source.layer.data = pixels[:100]
    desk.rest()
    assert strip.words == ""  # nothing is painted

    desk.bar(1, 18)
    desk.rest()
    painted, before = desk.painted.copy(), desk.work.scribbles.layer
    desk.work.source.layer.data = pixels[:80, :90]
    desk.until(lambda: strip.words.startswith("'alloy' has changed size"))
    assert f"kept in the hidden layer {before.name!r}" in strip.words
    assert before in desk.viewer.layers and not before.visible
    np.testing.assert_array_equal(before.data, painted)
    assert not desk.painted.any()

    desk.rest()
    assert strip.words
    before.visible = True
    strip.review()
    assert strip.words == ""


def test_pixels_that_become_a_stack_are_read_as_one(quick_desk, pixels):
    desk = quick_desk
    segmented(desk, pixels)
    desk.work.source.layer.data = np.stack([pixels, 255 - pixels])
    desk.rest()
    assert desk.painted.shape == (2, *pixels.shape)


@pytest.mark.parametrize("value", [9, 300])
def test_existing_labels_can_be_painted_on(quick_desk, pixels, value):
    desk = quick_desk
    painted = np.zeros(pixels.shape, np.uint16)
    painted[18, 60:110], painted[58, 60:100] = 5, value
    desk.viewer.add_labels(painted, name="mine")
    desk.open(pixels)
    desk.rest()
    assert not desk.painted.any()
    assert desk.panels.classes.layers.isVisibleTo(desk.dock)

    desk.choose_scribbles(desk.viewer.layers["mine"])
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert set(np.unique(desk.segmented)) == {5, value}


def test_strokes_on_another_layer_are_hidden_while_they_do_not_count(quick_desk, pixels):
    desk = quick_desk
    segmented(desk, pixels)
    first = desk.work.scribbles.layer
    mine = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), name="mine")
    desk.rest()

    desk.choose_scribbles(desk.viewer.layers["mine"])
    assert mine.visible
    assert not first.visible

    desk.choose_scribbles(first)
    assert first.visible
    desk.rest()


def test_labels_of_many_grains_are_painted_on_only_if_the_person_says_so(quick_desk, pixels):
    desk = quick_desk
    segmented(desk, pixels)
    first, names = desk.work.scribbles.layer, desk.panels.classes.classes
    grains = np.zeros(pixels.shape, np.int32)
    for value in range(100):
        row, column = divmod(value, 10)
        grains[14 * row : 14 * row + 4, 18 * column : 18 * column + 4] = value + 1
    layer = desk.viewer.add_labels(grains, name="grains")
    colours = layer.colormap.map(np.arange(101))
    desk.rest()
    box = desk.panels.classes.layers
    box.setCurrentIndex(box.findText("grains"))
    box.activated.emit(box.currentIndex())
    desk.rest()
    assert "'grains' holds more than 20 values" in desk.panels.strip.words
    assert desk.work.scribbles.layer == first
    assert box.currentData() == first
    assert desk.panels.classes.classes == names
    np.testing.assert_array_equal(layer.colormap.map(np.arange(101)), colours)

    desk.panels.strip.buttons[0].click()
    desk.until(lambda: len(desk.panels.classes.classes) == 100)
    assert box.currentData() == layer
    assert (layer.colormap.map(np.arange(101)) != colours).any()
    desk.choose_scribbles(first)
    desk.rest()
    assert desk.panels.classes.classes == names
    np.testing.assert_array_equal(layer.colormap.map(np.arange(101)), colours)


def test_classes_met_in_a_layer_have_colours_that_are_told_apart(quick_desk, pixels):
    desk = quick_desk
    mine = np.zeros(pixels.shape, np.uint8)
    for row, value in enumerate((5, 9, 17, 30), start=1):
        mine[20 * row : 20 * row + 4] = value
    desk.open(pixels)
    desk.viewer.add_labels(mine, name="mine")
    desk.rest()

    desk.choose_scribbles(desk.viewer.layers["mine"])
    desk.until(lambda: desk.segmented is not None)
    desk.panels.classes.add_class()

    colours = [known.colour for known in desk.panels.classes.classes]
    assert min(math.dist(*pair) for pair in combinations(colours, 2)) > 50
    desk.rest()


@pytest.mark.parametrize("values", [(), (1, 2), (9, 300), (1, 70_000)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int64])
def test_classes_have_their_colours_and_the_rest_none(values, kind):
    classes = [PaintClass.default(value) for value in values]
    shown = [
        known for known in classes if known.value <= np.iinfo(kind).max and known.value < 2**16
    ]

    colours = colormap(classes).map(np.array([0, 77, *(known.value for known in shown)], kind))

    assert colours[0, 3] == 0
    np.testing.assert_allclose(colours[1], (0.5, 0.5, 0.5, 1))
    for colour, known in zip(colours[2:], shown, strict=True):
        np.testing.assert_allclose(colour[:3], np.array(known.colour) / 255, atol=1e-6)


def test_an_image_that_cannot_be_used_leaves_the_open_one_open(quick_desk, pixels):
    desk, strip, listed = quick_desk, quick_desk.panels.strip, quick_desk.panels.image.layers
    desk.open(pixels, name="good")
    desk.rest()
    work = desk.work
    bad = desk.viewer.add_image(np.zeros((2, 2, 2, 8, 8), np.uint8), name="bad")
    desk.until(lambda: "5 dimensions" in strip.words)
    desk.rest()
    assert desk.work is work
    assert "5 dimensions" in strip.words
    assert listed.currentText() == "good"

    desk.choose_image(bad)
    desk.rest()
    assert desk.work is work
    assert listed.currentText() == "good"
    desk.viewer.layers.remove(bad)
    desk.until(lambda: strip.words == "")
