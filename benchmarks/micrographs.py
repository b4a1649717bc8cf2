"""The bundled micrograph, extended or cropped to any size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from skimage.io import imread

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES = Path(__file__).parents[1] / "src/napari_alibi_seg/samples"
MICROGRAPH, SCRIBBLES = SAMPLES / "superalloy.png", SAMPLES / "superalloy_scribbles.png"


def mirrored(side: int) -> NDArray[np.uint8]:
    """Return the micrograph, extended by mirroring or cropped to side x side pixels."""
    pixels = imread(MICROGRAPH)
    beyond = [(0, max(0, side - length)) for length in pixels.shape]
    return np.pad(pixels, beyond, mode="reflect")[:side, :side]


def noisy(side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return `mirrored` with noise that increases from left to right."""
    strength = np.linspace(2, 12, side, dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal((side, side), np.float32)
    return np.clip(mirrored(side) + strength * noise, 0, 255).astype(np.uint8)


def scribbled(side: int) -> NDArray[np.uint8]:
    """Return the scribbles, padded with 0 or cropped to side x side pixels."""
    painted = imread(SCRIBBLES)
    beyond = [(0, max(0, side - length)) for length in painted.shape]
    return np.pad(painted, beyond)[:side, :side]
