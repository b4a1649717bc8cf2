"""The window opens and counts strokes without torch, which is imported in a thread."""

import subprocess
import sys


def test_opening_the_dock_imports_no_torch_and_choosing_an_image_in_memory_no_dask():
    code = """
import sys
import napari_alibi_seg.gui.dock, napari_alibi_seg.gui.bias, napari_alibi_seg.gui.samples
slow = {"torch", "sklearn", "huggingface_hub", "skimage.feature"}
slow |= {"scipy.sparse", "scipy.ndimage", "scipy.optimize"}
slow |= {"dask.array", "zarr", "napari_alibi_seg.core.forest.voting"}
if slow & sys.modules.keys():
    sys.exit(", ".join(slow & sys.modules.keys()))

import numpy as np
from napari.layers import Image
from napari_alibi_seg.gui.source import ImageSource, readings
layer = Image(np.zeros((9, 9)))
ImageSource.of(layer, readings(layer)[0])
sys.exit("dask.array" in sys.modules)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_strokes_are_counted_and_kept_while_torch_is_imported():
    code = """
import os, sys, threading, time
import numpy as np
import pytest
from napari.settings import get_settings
from napari_alibi_seg.core.config import SegmentationConfig
from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.live.records import LiveRequest
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.gui import torch_import
from napari_alibi_seg.gui.bridge import _Run, _serve
from napari_alibi_seg.gui.records import Order

allowed, load = threading.Event(), torch_import._load_libraries
torch_import._load_libraries = lambda: allowed.wait() and load()
painted = np.zeros((30, 30), np.uint8)
painted[5, :9], painted[9, :9] = 1, 2
image = as_micrograph(np.random.default_rng(0).random((30, 30), np.float32))
config = SegmentationConfig("classical", trees=10)
request = LiveRequest(image, painted, config, ((),), Window(0, 0, 30, 30))
order = Order(request, config, image, touched=True)
told = _serve({}, _Run(order, []))
_, counted = next(told)
assert counted.pixels == {1: 9, 2: 9} and counted.strokes == 2, counted
threading.Thread(target=lambda: order.kept.wait() and allowed.set()).start()
_, again = next(told)
assert order.kept.is_set() and again == counted and "torch" in sys.modules
told.close()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_an_order_that_waits_for_torch_makes_way_for_the_next():
    code = """
import threading
import numpy as np
import pytest
from napari.settings import get_settings
from napari_alibi_seg.core.config import SegmentationConfig
from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.live.records import LiveRequest
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.gui import torch_import
from napari_alibi_seg.gui.bridge import _Run, _serve
from napari_alibi_seg.gui.records import Order

allowed = threading.Event()
torch_import._load_libraries = allowed.wait
image = as_micrograph(np.random.default_rng(0).random((30, 30), np.float32))
blank, config = np.zeros((30, 30), np.uint8), SegmentationConfig()
request = LiveRequest(image, blank, config, ((),), Window(0, 0, 30, 30))
order = Order(request, config, image)
run = _Run(order, [])
served = _serve({}, run)
next(served)
threading.Thread(target=lambda: order.kept.wait() and run.stopped.set()).start()
assert list(served) == []
allowed.set()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_an_import_that_failed_is_no_import_and_is_tried_again_for_a_classifier_that_is_read():
    code = """
from pathlib import Path
from napari_alibi_seg.core.errors import ClassifierError
from napari_alibi_seg.gui import torch_import
from napari_alibi_seg.gui.files import read_classifier
from napari_alibi_seg.gui.torch_import import Stage, is_imported, require

def fail():
    raise OSError("torch is damaged")

load, torch_import._load_libraries = torch_import._load_libraries, fail
try:
    require(Stage.COMPUTING)
except OSError:
    assert is_imported(Stage.COUNTING) and not is_imported(Stage.COMPUTING)
torch_import._load_libraries = load
try:
    next(read_classifier(Path("missing.skops")))
except ClassifierError:
    assert is_imported(Stage.COMPUTING)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
