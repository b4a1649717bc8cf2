import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_alibi_seg.gui import samples


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(Path(str(files("napari_alibi_seg"))) / "napari.yaml")


def test_everything_the_manifest_names_can_be_imported(manifest):
    manifest.validate_imports()


def test_the_widgets_are_in_the_menus(manifest):
    menus = manifest.contributions.menus
    for menu in ("segment", "annotate", "classify"):
        assert menus[f"napari/layers/{menu}"][0].command == "napari-alibi-seg.segment"


@pytest.mark.parametrize("name", ["superalloy", "steel", "nanocomposite", "sandstone"])
def test_samples_are_micrographs_with_scribbles_and_a_source(name):
    (image, options, kind), (scribbles, painted, other) = getattr(samples, name)()
    assert (kind, other) == ("image", "labels")
    assert image.shape == scribbles.shape
    classes = painted["metadata"]["classes"]
    assert set(np.unique(scribbles)) == set(range(len(classes) + 1))
    assert any(licence in options["metadata"]["attribution"] for licence in ("MIT", "CC BY"))


def test_a_sample_gives_a_segmentation_with_its_class_names_or_is_painted_from_the_beginning(desk):
    desk.hurry()
    desk.viewer.open_sample("napari-alibi-seg", "nanocomposite")
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    assert [known.name for known in desk.panels.classes.classes] == ["matrix", "agglomerate"]
    assert len(desk.viewer.layers) == 3

    desk.viewer.layers.clear()
    desk.rest()
    desk.viewer.open_sample("napari-alibi-seg", "unpainted")
    desk.until(lambda: desk.work is not None)
    desk.rest()
    assert not desk.painted.any()
    assert "MIT" in desk.panels.image.layers.toolTip()


PREFERENCES = """
from napari.settings import get_plugin_settings
from npe2 import PluginManager
from napari_alibi_seg.gui.dock import _preferred_settings
print(_preferred_settings().config.trees, len(list(PluginManager.instance().iter_manifests())))
{change}
print(_preferred_settings().config.trees)
"""


def preferred(folder, change=""):
    code = PREFERENCES.format(change=change)
    environment = os.environ | {"NAPARI_CONFIG": str(folder / "settings.yaml")}
    run = [sys.executable, "-W", "ignore", "-c", code]
    told = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    return [int(number) for number in told.stdout.split()]


def test_preferences_are_kept_and_manifests_are_read_only_if_there_are_any(tmp_path):
    change = "get_plugin_settings('napari-alibi-seg').segmentation.trees = 50"
    assert preferred(tmp_path, change) == [100, 0, 50]
    assert preferred(tmp_path)[0] == 50
