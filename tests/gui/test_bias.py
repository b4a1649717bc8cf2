import json
import re

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtWidgets import QDialog, QLabel

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.gui.bias import STOCK_MODEL, table


@pytest.fixture
def report(make_napari_viewer_proxy, qtbot, pixels):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(pixels, name="alloy")
    _, widget = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Positional bias")
    yield widget
    widget.release()


def test_a_model_that_is_unknown_is_told_in_words(report, qtbot):
    report.first.setCurrentText("no-such-model")
    report.second.setCurrentText("")

    report.button.click()
    assert report.button.text() == "Stop"
    qtbot.waitUntil(lambda: "could not" in report.strip.words, timeout=120_000)

    assert "no-such-model" in report.strip.words
    assert "error:" not in report.strip.words
    assert report.button.text() == "Make the report"


def test_a_probing_that_breaks_off_is_told_whatever_its_exit_code(report, qtbot, monkeypatch):
    monkeypatch.setenv("PYTHONUTF8", "neither")  # Python then leaves with 1 before it begins
    report.button.click()
    qtbot.waitUntil(lambda: report._process is None, timeout=120_000)
    assert report.strip.words.startswith("The report could not be made: ")
    assert not report.table.isVisible()


def test_a_probing_that_is_stopped_is_told_apart_from_one_that_the_system_ends(report, qtbot):
    report.button.click()
    report._process.kill()
    qtbot.waitUntil(lambda: "the system stopped it" in report.strip.words, timeout=120_000)
    assert report.button.text() == "Make the report"

    report.button.click()
    report.button.click()
    assert report.strip.words == "Stopped; nothing was kept."
    assert report.button.text() == "Make the report"


def test_a_python_that_does_not_start_is_told(report, qtbot, monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")
    report.button.click()
    qtbot.waitUntil(lambda: report.strip.words.startswith("The report could not be made: "))
    assert report.button.text() == "Make the report"


def test_a_model_that_was_left_out_does_not_cost_the_report_of_the_other(report, tmp_path):
    (tmp_path / "report").mkdir()
    models = {DEFAULT_MODEL: {"authors_r2": 0.25}}
    summary = {"models": models, "failed": {STOCK_MODEL: "It could not be fetched."}}
    (tmp_path / "report" / "summary.json").write_text(json.dumps(summary))
    report._folder = tmp_path
    report._show()
    assert report.strip.words.endswith(f"Without {STOCK_MODEL}: It could not be fetched.")
    assert "ALiBi" in report.table.text()


@pytest.mark.parametrize("there", [True, False])
def test_the_stock_model_is_only_preset_where_it_need_not_be_fetched(
    make_napari_viewer_proxy, tmp_path, monkeypatch, there
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    if there:
        folder = tmp_path / "models--timm--vit_small_patch14_dinov2.lvd142m/snapshots/f00d"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
    viewer = make_napari_viewer_proxy(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Positional bias")
    assert widget.models == [DEFAULT_MODEL, *[STOCK_MODEL] * there]
    widget.release()


def test_the_plane_on_the_screen_is_probed(report, pixels):
    viewer = report._viewer
    layer = viewer.add_image(np.stack([pixels, pixels[::-1], pixels]), name="stack")
    viewer.dims.set_point(0, 1)
    report.start(layer, ["classical"])
    assert "plane 1" in report.strip.words
    np.testing.assert_array_equal(tifffile.imread(report._folder / "image.tif"), pixels[::-1])


def test_a_report_names_what_it_is_of_whatever_is_chosen_after_it(report, qtbot, pixels):
    viewer = report._viewer
    layer = viewer.add_image(np.stack([pixels, pixels]), name="stack")
    viewer.dims.set_point(0, 1)
    report.start(layer, ["no-such-model"])
    qtbot.waitUntil(lambda: report._process is None, timeout=120_000)
    (report._folder / "report").mkdir(exist_ok=True)
    summary = {"models": {DEFAULT_MODEL: {"authors_r2": 0.25}}, "failed": {}}
    (report._folder / "report" / "summary.json").write_text(json.dumps(summary))
    report._show()

    report.layers.setCurrentIndex(report.layers.findText("alloy"))
    viewer.layers.remove(layer)

    assert "plane 1 of stack" in report.table.text()


def test_what_is_lacking_is_told_until_it_is_there(report, pixels):
    report._viewer.layers.clear()
    report.button.click()
    assert report.strip.words.startswith("Open an image")
    report._viewer.add_image(pixels)
    assert report.strip.words == ""


def test_a_long_name_of_a_model_shows_its_beginning(report):
    report.second.setCurrentText("timm:vit_small_patch14_dinov2:/a/long/way/to/it.safetensors")
    assert report.second.lineEdit().cursorPosition() == 0


def test_a_model_that_is_left_empty_is_none(report):
    report.second.setCurrentText("")
    assert report.models == [report.first.currentText()]
    report.first.setCurrentText(" ")
    report.button.click()
    assert report.strip.words == "Choose a model first."


def test_the_enlarged_figure_fits_the_screen(report, tmp_path, qtbot):
    (tmp_path / "report").mkdir()
    Image.new("L", (4000, 900)).save(tmp_path / "report" / "position.png")
    report._folder = tmp_path

    report.figure.click()
    dialog = report.findChild(QDialog)
    qtbot.waitUntil(dialog.isVisible)

    screen = report.screen().availableSize()
    assert dialog.width() <= screen.width()
    assert dialog.findChild(QLabel).pixmap().width() > screen.width() / 2
    dialog.close()


def test_the_process_ends_with_the_widget(report, qtbot):
    report.button.click()
    process, folder = report._process, report._folder
    qtbot.waitUntil(lambda: process.processId() > 0)
    assert folder.is_dir()

    report.release()

    assert process.state() == process.ProcessState.NotRunning
    assert not folder.exists()


def test_an_image_of_channels_is_probed_by_its_first(make_napari_viewer_proxy, pixels, tmp_path):
    path = tmp_path / "channels.ome.tif"
    tifffile.imwrite(path, np.stack([pixels, pixels]), metadata={"axes": "CYX"})
    viewer = make_napari_viewer_proxy(show=True)
    [layer] = viewer.open(path, plugin="napari")
    _, widget = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Positional bias")

    widget.start(layer, ["classical"])

    assert "takes a minute" in widget.strip.words
    np.testing.assert_array_equal(tifffile.imread(widget._folder / "image.tif"), pixels)
    widget.release()


def test_the_table_has_a_bar_for_each_model_and_no_row_without_a_value():
    models = {
        "alibi-dinov2-s14": {"authors_r2": 0.1234, "flip_disagreement": None, "tile_cosine": 0.75},
        "timm:vit_small_patch14_dinov2:/a/b": {"authors_r2": 1.5, "flip_disagreement": None},
    }

    text = table({"models": models})

    assert text.count("ALiBi") == text.count("stock") == 2
    assert "0.123" in text
    assert "0.250" in text
    assert "flip changes" not in text
    assert text.count(">-<") == 1  # the stock model's tiles
    widths = [int(width) for width in re.findall(r"width='(\d+)' bgcolor", text)]
    assert widths[0] < widths[2] < widths[1]
