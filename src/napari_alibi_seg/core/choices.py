"""What a person chooses by name; importing this imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum

DEFAULT_MODEL = "alibi-dinov2-s14"
CLASSICAL = "classical"
"""The model name that means: no deep features."""

SCALE = 1
"""How many times an image is magnified before the model."""

SCALES = range(1, 5)
"""How many times it may be."""

SMOOTHING = 4
"""Radius, in pixels, of the filter that smooths the votes."""

SMOOTHING_RADII = range(33)
"""Those it may have; 0 is for none."""

SIGMAS = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations, in pixels, of the classical filters."""

SIGMAS_3D = (1.4, 2.8)
"""Standard deviations, in pixels, of the filters through a volume where these are asked for."""

LARGEST_CLASS = 2**16 - 1
"""The largest class that can be painted; labels are written in at most 16 bits."""

COMPONENTS = 32
"""Principal components kept of the deep features."""

COMPONENT_COUNTS = range(1, 385)
"""How many these may be."""

LEARNED_FILTERS = 3
"""Version of the learned filters that are in the package; 0 is for none."""

TREES = 100
"""Trees of a forest."""

TREE_COUNTS = range(1, 100_001)
"""How many these may be."""

LARGEST_SEED = 2**32 - 1
"""The largest seed a forest takes."""


class Forest(StrEnum):
    """How the trees are grown.

    ``extra-trees`` draws the threshold of a split at random (Geurts et al., Machine Learning 63,
    3, 2006), which generalises better from few strokes; ``random`` searches the best one among
    bootstrapped pixels (Breiman, Machine Learning 45, 5, 2001).
    """

    EXTRA_TREES = "extra-trees"
    RANDOM = "random"
