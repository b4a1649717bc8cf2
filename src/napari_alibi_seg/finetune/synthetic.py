"""Synthetic micrographs with ground truth: phases of varied shape and appearance.

Every micrograph is a function of its key alone. Importing this module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import irfft2, rfft2, rfftfreq
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

SIDE = 160
"""Side of a synthetic micrograph, px."""

MOST_CLASSES = 5
"""Largest number of classes in a micrograph."""

FEWEST_PIXELS = 60
"""Smallest number of pixels of each of its classes."""

_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32)
_FREQUENCIES = 2 * pi * np.fft.fftfreq(SIDE)[:, None], 2 * pi * rfftfreq(SIDE)[None]  # radians / px


@dataclass(frozen=True)
class MadeUp:
    """A synthetic micrograph and its ground truth.

    Attributes
    ----------
    image : ndarray
        (SIDE, SIDE) uint8.
    labels : ndarray
        (SIDE, SIDE) uint8, the class of each pixel, from 0 without gaps.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Regions:
    """Layout of a micrograph: classes and pieces (grains or particles).

    Attributes
    ----------
    labels : ndarray
        (SIDE, SIDE) int, the class of each pixel.
    pieces : ndarray
        (SIDE, SIDE) int, the piece each pixel belongs to, from 0.
    """

    labels: Ints
    pieces: Ints


def make_up(key: Sequence[int]) -> MadeUp:
    """Generate the micrograph of a key (a seed and further numbers, none negative).

    It has 2 to `MOST_CLASSES` classes of at least `FEWEST_PIXELS` pixels each.
    """
    random = np.random.default_rng(key)
    while True:
        regions = _regions(random)
        classes, labels, counts = np.unique(regions.labels, return_inverse=True, return_counts=True)
        if len(classes) > 1 and counts.min() >= FEWEST_PIXELS:
            break
    regions = Regions(labels.reshape(SIDE, SIDE), regions.pieces)
    return MadeUp(_seen(regions, random), regions.labels.astype(np.uint8))


def _regions(random: Generator) -> Regions:
    made = _kind(random)(random, int(random.choice([2, 2, 3, 3, 4])))
    if random.random() > 0.35:
        return made
    inner = _kind(random)(random, 2)  # one more phase, within one of the others
    within = (made.labels == random.choice(made.labels.ravel())) & (inner.labels == 1)
    return Regions(np.where(within, MOST_CLASSES, made.labels), np.zeros_like(made.pieces))


def _kind(random: Generator) -> Callable[[Generator, int], Regions]:
    kinds = (grains, patches, large_particles, small_particles, lamellae, cuboids)
    return kinds[random.integers(len(kinds))]


def grains(random: Generator, classes: int) -> Regions:
    """Return Voronoi cells, roughly 5 to 45 px across, elongated, with straight or wavy borders."""
    size, longer = random.uniform(7, 50), 2 ** random.uniform(-0.8, 0.8)
    seeds = random.uniform(-0.2 * SIDE, 1.2 * SIDE, (max(6, int(3.4 * (SIDE / size) ** 2)), 2))
    wavy = random.uniform(0, 3) if random.random() < 0.7 else 0.0
    rows, columns = _warped(random, wavy, random.uniform(3, 10))
    places = np.stack([rows.ravel(), longer * columns.ravel()], axis=1)
    pieces = cKDTree(seeds * (1, longer)).query(places)[1].reshape(SIDE, SIDE)
    return Regions(random.integers(0, classes, len(seeds))[pieces], pieces)


def patches(random: Generator, classes: int) -> Regions:
    """Return a thresholded random field: blobs, labyrinths or (its absolute value) threads."""
    sigma = 2 ** random.uniform(0.8, 4.3)
    longer = 2 ** random.uniform(-0.7, 0.7) if random.random() < 0.4 else 1.0
    values = field(random, sigma, longer)
    if random.random() < 0.5:
        values -= 0.7 * field(random, 2.5 * sigma)
    return _levels(random, -np.abs(values) if random.random() < 0.3 else values, classes)


def large_particles(random: Generator, classes: int) -> Regions:
    """Return particles with radii around 2 to 23 px in a matrix; see `_particles`."""
    return _particles(random, classes, 2 ** random.uniform(1, 4.5))


def small_particles(random: Generator, classes: int) -> Regions:
    """Return particles with radii around 1.5 to 4.6 px in a matrix; see `_particles`."""
    return _particles(random, classes, 2 ** random.uniform(0.6, 2.2))


def _particles(random: Generator, classes: int, radius: float) -> Regions:
    """Return overlapping ellipses and rounded rectangles, nominal area fraction .1 to .6."""
    count = int(random.uniform(0.1, 0.6) * SIDE**2 / (pi * radius**2)) + 2
    radii = radius * 2 ** (0.4 * random.standard_normal(count)).clip(-1, 1)
    centres = random.uniform(-radii, SIDE + radii, (2, count))
    angles, longer = random.uniform(0, pi, count), 2 ** random.uniform(0, 0.8, count)
    powers = random.choice([2, 2, 4, 8], count)
    half = int(2 * 2**0.8 * radius) + 2
    offsets = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, 1, -1)
    at = np.floor(centres).astype(int)[..., None] + offsets  # (2, particles, pixels)
    down, right = at - centres[..., None]
    sine, cosine = np.sin(angles)[:, None], np.cos(angles)[:, None]
    along = np.abs(down * cosine + right * sine) * (longer / radii)[:, None]
    across = np.abs(right * cosine - down * sine) / (longer * radii)[:, None]
    covered = along ** powers[:, None] + across ** powers[:, None] < 1
    covered &= ((at >= 0) & (at < SIDE)).all(axis=0)
    pieces = np.zeros((SIDE, SIDE), np.int64)
    particle = np.broadcast_to(np.arange(1, count + 1)[:, None], covered.shape)
    np.maximum.at(pieces, (at[0][covered], at[1][covered]), particle[covered])
    return Regions(_matrix_and(random, classes, count)[pieces], pieces)


def lamellae(random: Generator, classes: int) -> Regions:
    """Return bent stripes of uneven width, around 2 to 16 px."""
    width = 2 ** random.uniform(1.2, 4)
    rows, columns = _warped(random, random.uniform(0, width), random.uniform(8, 30))
    across = _along(random, rows, columns)[0]
    waves = np.sin(across * (pi / width)) + 0.3 * field(random, width / 2)
    return _levels(random, waves, classes)


def cuboids(random: Generator, classes: int) -> Regions:
    """Return discs or (rounded) squares on a distorted square lattice of period 8 to 30 px."""
    period, filled = random.uniform(8, 30), random.uniform(0.55, 0.9)
    rows, columns = _warped(random, random.uniform(0, period / 4), 0.8 * period)
    if random.random() < 0.5:
        rows, columns = _along(random, rows, columns)
    places = np.stack([rows, columns]) / period
    cells = np.floor(places)
    power = int(random.choice([2, 4, 8]))
    inside = (np.abs(2 * (places - cells) - 1) ** power).sum(axis=0) < filled**power
    _, numbers = np.unique(cells[0] * SIDE + cells[1], return_inverse=True)
    pieces = np.where(inside, 1 + numbers.reshape(SIDE, SIDE), 0)
    return Regions(_matrix_and(random, classes, int(numbers.max()) + 1)[pieces], pieces)


def field(random: Generator, sigma: float, longer: float = 1.0) -> Floats:
    """Return a periodic (SIDE, SIDE) Gaussian random field of mean 0 and standard deviation 1.

    Parameters
    ----------
    random : Generator
        Advanced in place.
    sigma : float
        Standard deviation of the Gaussian that smooths the white noise, px.
    longer : float
        Factor on `sigma` along a random direction; across it, `sigma` is divided by the factor.
    """
    down, right = _FREQUENCIES
    if longer != 1:
        down, right = _along(random, down, right)
    power = (sigma * longer * down) ** 2 + (sigma / longer * right) ** 2
    spectrum = rfft2(random.standard_normal((SIDE, SIDE), np.float32)) * np.exp(-power / 2)
    spectrum[0, 0] = 0
    values: Floats = irfft2(spectrum, (SIDE, SIDE))
    return np.asarray(values / (values.std() + 1e-6), np.float32)


def _seen(regions: Regions, random: Generator) -> NDArray[np.uint8]:
    """Render regions as a microscope image: greys, textures, rims, shading, blur and noise."""
    image = _phases(regions.labels, random)
    if random.random() < 0.5:
        of_pieces = random.uniform(0.05, 0.35) * random.standard_normal(regions.pieces.max() + 1)
        image += of_pieces.astype(np.float32)[regions.pieces]
    if random.random() < 0.45:
        image += _rims(regions.labels, random)
    image += _shading(random)
    blurred = gaussian_filter(image, 2 ** random.uniform(-2, 0.8))
    return _digitised(blurred + _noise(random), random)


def _phases(labels: Ints, random: Generator) -> Floats:
    """Render each class with its own grey level and, for some, a texture or stripes."""
    count = int(labels.max()) + 1
    image = _greys(random, count)[labels]
    for number in range(count):
        inside = labels == number
        if random.random() < 0.6:
            longer = 2 ** random.uniform(-1, 1) if random.random() < 0.4 else 1.0
            texture = field(random, 2 ** random.uniform(-0.3, 2.5), longer)
            image[inside] += random.uniform(0, 0.6) * texture[inside]
        if random.random() < 0.15:
            across = _along(random, _ROWS, _COLUMNS)[0]
            stripes = np.sin(across * (2 * pi / random.uniform(3, 12)))
            image[inside] += random.uniform(0.1, 0.6) * stripes[inside]
    return image


def _greys(random: Generator, count: int) -> Floats:
    """Return a grey level per class: unevenly spaced or, less often, only two levels in all."""
    greys = random.permutation(np.cumsum(2 ** random.uniform(-1.5, 1.5, count)))
    if random.random() < 0.25:
        greys = random.permutation(np.arange(count) % 2) * 2 ** random.uniform(0, 2)
    return np.asarray(greys, np.float32)


def _rims(labels: Ints, random: Generator) -> Floats:
    """Return bright or dark rims along class boundaries, on both sides or within one class."""
    inside = np.ones(labels.shape, bool)
    inside[:-1] &= labels[:-1] == labels[1:]
    inside[:, :-1] &= labels[:, :-1] == labels[:, 1:]
    width = random.uniform(0.8, 3)
    rims = 0.8 * random.standard_normal() * np.exp(-((distance_transform_edt(inside) / width) ** 2))
    if random.random() < 0.5:
        rims *= labels == random.integers(labels.max() + 1)
    return np.asarray(rims, np.float32)


def _shading(random: Generator) -> Floats:
    shading = np.zeros((SIDE, SIDE), np.float32)
    if random.random() < 0.4:
        shading += random.uniform(0, 0.3) * field(random, random.uniform(25, 60))
    if random.random() < 0.2:
        down, right = random.standard_normal(2) / SIDE
        shading += down * _ROWS + right * _COLUMNS
    return shading


def _noise(random: Generator) -> Floats:
    sigma = random.uniform(0.4, 1.2) if random.random() < 0.35 else 0.0
    noise = 2 ** random.uniform(-4.5, 0.3) * field(random, sigma)
    if random.random() < 0.15:  # scan-line noise
        noise += random.uniform(0, 0.3) * random.standard_normal((SIDE, 1), np.float32)
    return np.asarray(noise, np.float32)


def _digitised(image: Floats, random: Generator) -> NDArray[np.uint8]:
    """Return the image rescaled to a random part of the 8-bit range."""
    low, high = np.percentile(image, [0.5, 99.5])
    contrast = random.uniform(0.5, 1)
    brightness = random.uniform(0, 1 - contrast)
    values = contrast * (image - low) / (high - low) + brightness
    return np.asarray((255 * values).round().clip(0, 255), np.uint8)


def _levels(random: Generator, values: Floats, classes: int) -> Regions:
    """Threshold values into classes of random area fractions; all is one piece."""
    shares = random.dirichlet(np.full(classes, 2.0)).cumsum()[:-1]
    labels = np.digitize(values, np.quantile(values, shares))
    return Regions(labels, np.zeros_like(labels))


def _matrix_and(random: Generator, classes: int, pieces: int) -> Ints:
    """Return the class of the matrix, 0, followed by a random other class for every piece."""
    return np.concatenate([[0], random.integers(1, classes, pieces)])


def _warped(random: Generator, amount: float, sigma: float) -> tuple[Floats, Floats]:
    """Return coordinates displaced by random fields of standard deviation `amount`, px.

    `sigma` is the smoothness of the fields, px.
    """
    if not amount:
        return _ROWS, _COLUMNS
    moved = [axis + np.float32(amount) * field(random, sigma) for axis in (_ROWS, _COLUMNS)]
    return moved[0], moved[1]


def _along(random: Generator, down: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return coordinates rotated by a random angle."""
    angle = random.uniform(0, pi)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    return down * cosine + right * sine, right * cosine - down * sine
