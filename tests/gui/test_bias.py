import json
import re
import threading

import dask.array as da
import numpy as np
import PIL.Image
import pytest
import tifffile
from napari.layers import Image
from qtpy.QtCore import QProcess
from qtpy.QtWidgets import QDialog, QLabel

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.gui.bias import STOCK_MODEL
from napari_alibi_seg.gui.bias_tables import finding, table

STAND_IN = """
import shutil, sys
from pathlib import Path

shutil.copytree(Path(__file__).with_name("report"), sys.argv[sys.argv.index("--output") + 1])
"""


@pytest.fixture
def viewer(make_napari_viewer_proxy, pixels):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(pixels, name="alloy")
    return viewer


@pytest.fixture
def report(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Positional bias")
    yield widget
    widget.release()


@pytest.fixture
def probe(report, qtbot, tmp_path, monkeypatch):
    """Return a function that makes the report of a layer; a copy stands in for the probing."""
    package = tmp_path / "napari_alibi_seg"
    (package / "report").mkdir(parents=True)
    PIL.Image.new("L", (4000, 900)).save(package / "report/position.png")
    (package / "__init__.py").touch()
    (package / "probing.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def made(layer, failed):
        model = {"label": DEFAULT_MODEL, "authors_r2": 0.25}
        summary = {"models": {DEFAULT_MODEL: model}, "failed": failed}
        (package / "report/summary.json").write_text(json.dumps(summary))
        report.start(layer, [DEFAULT_MODEL])
        qtbot.waitUntil(report.full.isVisible)

    return made


def test_a_model_that_is_unknown_is_told_in_words(report, qtbot):
    report.first.setCurrentText("no-such-model")
    report.second.setCurrentText("")

    report.button.click()
    assert report.button.text() == "Stop"
    qtbot.waitUntil(lambda: "could not" in report.strip.words, timeout=120_000)

    assert "no-such-model" in report.strip.words
    assert "error:" not in report.strip.words
    assert report.button.text() == "Make the report"


def test_a_probing_that_breaks_off_or_does_not_start_is_told(report, qtbot, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", "/no/such/python")
        report.button.click()
        qtbot.waitUntil(lambda: report.strip.words.startswith("The report could not be made: "))
    assert report.button.text() == "Make the report"
    report.strip.put_away()

    monkeypatch.setenv("PYTHONUTF8", "neither")  # Python then leaves with 1 before it begins
    report.button.click()
    qtbot.waitUntil(lambda: not report.process.running, timeout=120_000)
    assert report.strip.words.startswith("The report could not be made: ")
    assert not report.table.isVisible()


def test_a_probing_that_is_stopped_is_told_apart_from_one_that_the_system_ends(report, qtbot):
    report.button.click()
    report.findChild(QProcess).kill()
    qtbot.waitUntil(lambda: "the system stopped it" in report.strip.words, timeout=120_000)
    assert report.button.text() == "Make the report"

    report.button.click()
    folder = report.process.report.parent
    report.button.click()
    assert report.strip.words == "Stopped; nothing was kept."
    assert not folder.exists()
    assert report.button.text() == "Make the report"


def test_a_plane_that_cannot_be_read_is_told_and_leaves_nothing(report, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    damaged = threading.Event()

    def read(block):
        if damaged.is_set():
            raise ImageError("The file is damaged.")
        return block

    layer = Image(da.zeros((64, 64), dtype=np.uint8).map_blocks(read, dtype=np.uint8))
    damaged.set()
    report.start(layer, [DEFAULT_MODEL])
    assert report.strip.words == "The file is damaged."
    assert report.button.text() == "Make the report"
    assert not any(tmp_path.iterdir())


def test_a_model_that_was_left_out_does_not_cost_the_report_of_the_other_and_its_figure(
    viewer, report, probe, qtbot
):
    probe(viewer.layers["alloy"], {STOCK_MODEL: "It could not be fetched."})
    assert report.strip.words.endswith(f"Without {STOCK_MODEL}: It could not be fetched.")
    assert DEFAULT_MODEL in report.table.text()

    report.figure.click()
    dialog = report.findChild(QDialog)
    qtbot.waitUntil(dialog.isVisible)
    screen = report.screen().availableSize()
    assert dialog.width() <= screen.width()
    assert dialog.findChild(QLabel).pixmap().width() > screen.width() / 2
    dialog.close()


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


def test_the_plane_on_the_screen_is_probed(viewer, report, pixels):
    layer = viewer.add_image(np.stack([pixels, pixels[::-1], pixels]), name="stack")
    viewer.dims.set_point(0, 1)
    report.start(layer, ["classical"])
    assert "plane 1" in report.strip.words
    probed = tifffile.imread(report.process.report.with_name("image.tif"))
    np.testing.assert_array_equal(probed, pixels[::-1])


def test_a_report_names_what_it_is_of_whatever_is_chosen_after_it(viewer, report, probe, pixels):
    layer = viewer.add_image(np.stack([pixels, pixels]), name="stack")
    viewer.dims.set_point(0, 1)
    probe(layer, {})

    report.layers.setCurrentIndex(report.layers.findText("alloy"))
    viewer.layers.remove(layer)

    assert "plane 1 of stack" in report.table.text()


def test_what_is_lacking_is_told_until_it_is_there(viewer, report, pixels):
    viewer.layers.clear()
    report.button.click()
    assert report.strip.words.startswith("Open an image")
    viewer.add_image(pixels)
    assert report.strip.words == ""


def test_a_long_name_of_a_model_shows_its_beginning_and_one_left_empty_is_none(report):
    report.second.setCurrentText("timm:vit_small_patch14_dinov2:/a/long/way/to/it.safetensors")
    assert report.second.lineEdit().cursorPosition() == 0
    report.second.setCurrentText("")
    assert report.models == [report.first.currentText()]
    report.first.setCurrentText(" ")
    report.button.click()
    assert report.strip.words == "Choose a model first."


def test_the_process_ends_with_the_widget(report, qtbot):
    report.button.click()
    process, folder = report.findChild(QProcess), report.process.report.parent
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
    probed = tifffile.imread(widget.process.report.with_name("image.tif"))
    np.testing.assert_array_equal(probed, pixels)
    widget.release()


def test_similar_models_are_told_apart_and_no_row_is_without_a_value():
    alibi = {"label": "alibi-dinov2-s14", "authors_r2": 0.1234, "tile_cosine": 0.75}
    flips = {"label": "alibi-dinov2-s14+flips", "authors_r2": 1.5}

    summary = {"models": {"a": alibi, "b": {**flips, "flip_disagreement": None}}}
    names, text = finding(summary), table(summary)

    assert names.count("</font> alibi-dinov2-s14: -") == 1
    assert names.count("</font> alibi-dinov2-s14+flips: -") == 1
    assert "0.123" in text
    assert "0.250" in text
    assert "flipped" not in text
    assert text.count(">-<") == 1  # the tiles of the second
    widths = [int(width) for width in re.findall(r"width='(\d+)' bgcolor", text)]
    assert widths[0] < widths[2] < widths[1]
