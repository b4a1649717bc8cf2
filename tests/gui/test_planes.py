import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication

from napari_alibi_seg.cli import main
from napari_alibi_seg.core.choices import CLASSICAL, SIGMAS_3D
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.images.micrograph import as_micrograph, read_image
from napari_alibi_seg.core.runs.project import open_image
from napari_alibi_seg.core.runs.project_files import load_project
from napari_alibi_seg.core.segmentation import segment

THROUGH = SegmentationConfig(CLASSICAL, channels=ChannelConfig(sigmas_3d=SIGMAS_3D), trees=10)


@pytest.fixture
def stack(pixels):
    """Five planes of a part of the micrograph that drift."""
    return np.stack([np.roll(pixels[:90, :130], 3 * n, axis=0) for n in range(5)])


def look_through(desk):
    """Paint a stroke in each of two classes, by 3-D filters alone."""
    desk.panels.show_config(THROUGH)
    desk.stroke((18, 60), (18, 110))
    desk.qtbot.wait(20)
    desk.stroke((58, 60), (58, 100))
    desk.until(lambda: desk.segmented is not None)
    finish(desk)


def finish(desk):
    desk.rest()
    desk.controller.apply_to_stack()
    desk.until(lambda: not desk.work.result.unfinished)
    desk.rest()


def written(desk, act, *arguments):
    act(*arguments)
    desk.until(lambda: "Written" in desk.panels.strip.words)
    desk.until(lambda: not desk.dock.background.busy)
    desk.panels.strip.put_away()


def expected(stack, desk, spacing):
    image = replace(as_micrograph(stack, "ZYX"), spacing=spacing)
    return segment(image, desk.painted, THROUGH, "cpu").labels


def test_filters_through_the_planes_are_offered_for_volumes_only(desk, pixels, stack):
    training = desk.panels.training
    assert not training.filters_3d.isEnabled()
    desk.open(stack)
    assert training.filters_3d.isVisibleTo(training)
    training.filters_3d.setChecked(True)
    assert desk.controller.effective_settings.config.channels.sigmas_3d
    flat = desk.open(pixels)
    desk.choose_image(flat)
    assert not training.filters_3d.isVisibleTo(training)
    assert not desk.controller.effective_settings.config.channels.sigmas_3d
    desk.choose_image(desk.viewer.layers[0])
    assert desk.controller.effective_settings.config.channels.sigmas_3d
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    assert desk.panels.image.readings.currentData().axes == "CYX"
    assert not desk.controller.effective_settings.config.channels.sigmas_3d


def test_the_window_shows_what_segment_gives_by_the_scale_of_the_layer(desk, stack):
    desk.open(stack, scale=(2.5, 1, 1))
    layer = desk.work.source.layer
    look_through(desk)
    assert "lie 2.5 px" in desk.panels.training.filters_3d.toolTip()
    np.testing.assert_array_equal(desk.segmented, expected(stack, desk, 2.5))

    layer.scale = (4, 4, 4)
    finish(desk)
    assert "lie 1 px" in desk.panels.training.filters_3d.toolTip()
    np.testing.assert_array_equal(desk.segmented, expected(stack, desk, 1.0))

    layer.scale, layer.units = (12, 4, 4), ("nm", "nm", "nm")
    finish(desk)
    np.testing.assert_array_equal(desk.segmented, expected(stack, desk, 3.0))


def test_command_script_and_project_give_the_result_of_the_window(
    desk, stack, tmp_path, monkeypatch
):
    tifffile.imwrite(tmp_path / "alloy.tif", stack, photometric="minisblack")
    layer = desk.viewer.open(tmp_path / "alloy.tif", plugin="napari")[0]
    desk.until(lambda: desk.work is not None)
    layer.scale = (2.5, 1, 1)
    look_through(desk)
    written(desk, desk.dock.exports.export_scribbles, tmp_path / "alloy_scribbles.tif")
    written(desk, desk.dock.exports.save_project, tmp_path / "p.alibi")
    shown = desk.segmented.copy()
    monkeypatch.chdir(tmp_path)

    desk.dock.reuse.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert main(words[1:]) == 0
    np.testing.assert_array_equal(tifffile.imread("alloy_labels.tif"), shown)

    Path("alloy_labels.tif").unlink()
    desk.dock.reuse.copy_script()
    exec(QApplication.clipboard().text(), {})
    np.testing.assert_array_equal(tifffile.imread("alloy_labels.tif"), shown)

    assert main(["apply", "p.alibi", "--output", "out"]) == 0
    np.testing.assert_array_equal(tifffile.imread("out/p_labels.tif"), shown)
    assert open_image(load_project(tmp_path / "p.alibi"), tmp_path / "p.alibi").spacing == 2.5
    assert read_image("alloy.tif", axes="ZYX").anisotropy == 1

    desk.viewer.layers.clear()
    desk.until(lambda: desk.work is None)
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: desk.work is not None and not desk.dock.background.busy)
    finish(desk)
    assert desk.work.source.layer.scale.tolist() == [2.5, 1, 1]
    assert desk.controller.effective_settings.config.channels.sigmas_3d
    np.testing.assert_array_equal(desk.segmented, shown)
