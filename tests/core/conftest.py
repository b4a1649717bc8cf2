from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from skimage.io import imread

from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.images.micrograph import as_micrograph

SAMPLES = Path(__file__).parents[2] / "src/napari_alibi_seg/samples"


@pytest.fixture(scope="session")
def extractor():
    return FeatureExtractor.load(device="cpu")


@pytest.fixture(scope="session")
def micrograph_pixels():
    """A real 150 x 170 micrograph, uint8."""
    return imread(SAMPLES / "superalloy.png")[100:250, :170]


@pytest.fixture(scope="session")
def micrograph(micrograph_pixels):
    return as_micrograph(micrograph_pixels)


@pytest.fixture(scope="session")
def patchy(micrograph_pixels):
    """The micrograph with a corner and single pixels missing."""
    pixels = micrograph_pixels.astype(np.float32)
    pixels[90:, :60] = np.nan
    pixels[5:80:15, 3::20] = np.inf
    return as_micrograph(pixels)


@pytest.fixture
def scribbles(micrograph_pixels):
    """Strokes of class 1 on bright matrix and of class 3 on dark precipitates."""
    painted = np.zeros(micrograph_pixels.shape, np.uint8)
    painted[::9, ::4] = np.where(micrograph_pixels > 110, 1, 0)[::9, ::4]
    painted[4::9, ::4] = np.where(micrograph_pixels < 60, 3, 0)[4::9, ::4]
    return painted


@pytest.fixture
def painting_on():
    """Keep painting and erasing an array from another thread."""

    @contextmanager
    def made(scribbles):
        enough = Event()

        def paint():
            while not enough.is_set():
                scribbles[::3] = 1
                scribbles[::3] = 0

        person = Thread(target=paint)
        person.start()
        try:
            yield scribbles
        finally:
            enough.set()
            person.join()

    return made


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(folder=tmp_path / "features")
