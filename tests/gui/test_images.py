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


def test_strokes_on_several_planes_train_one_forest_and_another_plane_is_ordered_once(
    quick_desk, pixels
):
    desk, orders = quick_desk, []
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

    ask = desk.controller.bridge.ask
    desk.controller.bridge.ask = lambda order: (orders.append(order.request.planes), ask(order))
    desk.viewer.dims.set_current_step(0, 1)
    desk.qtbot.wait(2 * DEBOUNCE_MS)
    desk.rest()
    assert orders == [((1,),)]
    assert desk.segmented[1].all()


def test_the_whole_stack_is_segmented_on_demand_and_seen_in_three_dimensions(quick_desk, pixels):
    desk = quick_desk
    segmented(desk, np.stack([pixels, pixels[:, ::-1], pixels[::-1]]))
    shown = desk.viewer.dims.current_step[0]
    assert sum(plane.any() for plane in desk.segmented) == 1

    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: "All 3 planes" in desk.panels.strip.words)
    assert desk.segmented.all()
    assert desk.viewer.dims.current_step[0] == shown
    desk.panels.strip.put_away()

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


def test_a_channel_is_chosen_and_seen_or_all_are_used_together(quick_desk, pixels):
    desk, image = quick_desk, quick_desk.panels.image
    data = np.stack([pixels, pixels // 2, 255 - pixels]).astype(np.uint16) * [[[1]], [[1]], [[100]]]
    desk.open(data, scale=(3, 1, 1))
    assert desk.painted.shape == (3, 140, 180)
    assert image.readings.isVisibleTo(desk.dock)
    assert not image.channels.isVisibleTo(desk.dock)

    image.readings.setCurrentIndex(1)
    image.readings.activated.emit(1)
    desk.rest()
    assert desk.painted.shape == (140, 180)
    assert image.channels.count() == 4  # each, and all together

    def use(place):
        image.channels.setCurrentIndex(place)
        image.channels.activated.emit(place)
        desk.rest()

    for channel in (0, 2):
        use(channel)
        assert desk.viewer.dims.current_step[0] == channel
        np.testing.assert_array_equal(desk.work.source.micrograph.data, data[channel])
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    use(3)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    assert desk.work.source.channels == (0, 1, 2)
    assert desk.work.fitted.bands == 3
    assert desk.segmented.shape == pixels.shape
    assert image.channels.currentText() == "all channels together"
    assert "--channels 0,1,2" in command(desk.work.source, desk.controller.effective_settings, ())


def test_channels_that_are_gone_are_no_longer_chosen(quick_desk, pixels):
    desk, listed = quick_desk, quick_desk.panels.image.channels
    planes = np.stack([pixels, 255 - pixels, pixels // 2, pixels[::-1], pixels[:, ::-1]])
    desk.open(planes[:3])
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    for before, chosen, count, then in (
        (3, (0, 1, 2), 5, 0),
        (5, (4,), 2, 0),
        (3, (1,), 2, 1),
    ):
        desk.work.source.layer.data = planes[:before]
        desk.rest()
        desk.choose_channels(chosen)
        desk.rest()

        desk.work.source.layer.data = planes[:count]
        desk.rest()

        assert desk.work.source.channels == (then,)
        assert listed.count() == count + 1
        assert listed.currentIndex() == then
        assert desk.panels.strip.words == ""
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()


def test_axes_are_read_as_the_file_names_them_and_planes_with_channels_refused(
    quick_desk, pixels, tmp_path
):
    desk, pair = quick_desk, np.stack([pixels, 255 - pixels])[:, :40, :50]
    stacked = np.stack([pair] * 3, axis=1)

    def opened(data, axes):
        desk.viewer.layers.clear()
        desk.until(lambda: desk.work is None)
        tifffile.imwrite(tmp_path / f"{axes}.ome.tif", data, metadata={"axes": axes})
        desk.viewer.open(tmp_path / f"{axes}.ome.tif", plugin="napari")

    for data, axes, shape in (
        (pair, "CYX", (40, 50)),
        (pair, "TYX", (2, 40, 50)),
        (stacked, "CTYX", (3, 40, 50)),
    ):
        opened(data, axes)
        desk.until(lambda: desk.work is not None)
        assert desk.work.source.reading.axes == axes
        assert desk.panels.image.readings.count() == 3
        assert desk.painted.shape == shape

    opened(stacked.swapaxes(0, 1), "TCYX")
    desk.until(lambda: "has channels" in desk.panels.strip.words)
    assert desk.work is None


def test_where_there_is_no_class_nothing_is_uncertain(quick_desk, pixels):
    framed = pixels.astype(float)
    framed[:, -30:] = np.nan
    desk = quick_desk
    desk.panels.result.uncertainty.setChecked(True)
    segmented(desk, framed)

    shown = desk.work.result.uncertainty.data
    np.testing.assert_array_equal(np.isnan(shown), np.isnan(framed))


def test_multiscale(quick_desk, pixels):
    big = np.kron(pixels, np.ones((2, 2), np.uint8))

    desk = quick_desk
    desk.open([big, big[::2, ::2], big[::4, ::4]], multiscale=True)
    desk.stroke((36, 120), (36, 220))
    desk.qtbot.wait(20)
    desk.stroke((116, 120), (116, 200))
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


def test_replaced_pixels_are_segmented_anew_also_as_a_stack(quick_desk, pixels):
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

    desk.work.source.layer.data = np.stack([pixels, 255 - pixels])
    desk.rest()
    assert desk.painted.shape == (2, *pixels.shape)


def test_the_scribbles_lie_on_the_image(quick_desk, pixels):
    quick_desk.open(pixels, scale=(0.02, 0.05), translate=(3, -4), rotate=20)

    image, scribbles = quick_desk.work.source.layer, quick_desk.work.scribbles.layer

    corner = (139, 179)
    np.testing.assert_allclose(scribbles.data_to_world(corner), image.data_to_world(corner))


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


def test_existing_labels_are_painted_on_with_colours_told_apart_and_other_strokes_hidden(
    quick_desk, pixels
):
    desk = quick_desk
    for values in ((5, 9), (5, 300), (5, 9, 17, 30)):
        mine = np.zeros(pixels.shape, np.uint16)
        for row, value in enumerate(values, start=1):
            mine[20 * row : 20 * row + 4, 60:110] = value
        desk.viewer.add_labels(mine, name=str(values))
    desk.open(pixels)
    desk.rest()
    first = desk.work.scribbles.layer
    assert not desk.painted.any()
    assert desk.panels.classes.layers.isVisibleTo(desk.dock)
    desk.bar(1, 18)

    for values in ((5, 9), (5, 300), (5, 9, 17, 30)):
        mine = desk.viewer.layers[str(values)]
        desk.choose_scribbles(mine)
        assert mine.visible
        assert not first.visible
        desk.until(lambda: desk.segmented is not None)
        desk.rest()
        assert set(np.unique(desk.segmented)) == set(values)

    desk.panels.classes.add_class()
    colours = [known.colour for known in desk.panels.classes.classes]
    assert min(math.dist(*pair) for pair in combinations(colours, 2)) > 50

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
    assert "5 dimensions" in strip.words
    desk.rest()
    assert desk.work is work
    assert listed.currentText() == "good"
    desk.viewer.layers.remove(bad)
    desk.until(lambda: strip.words == "")
