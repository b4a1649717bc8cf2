"""Default values and allowed ranges of settings. Has no heavy imports."""

from __future__ import annotations

from enum import StrEnum

DEFAULT_MODEL = "alibi-dinov2-s14"
CLASSICAL = "classical"
"""The model name for pixel filters without deep features."""

SCALE = 1
"""Default magnification of an image before the model."""

SCALES = range(1, 5)
"""Allowed magnifications."""

SMOOTHING = 4
"""Default radius, in pixels, of the filter that smooths the votes."""

SMOOTHING_RADII = range(33)
"""Allowed radii; 0 for none."""

SIGMAS = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations, in pixels, of the classical filters."""

SIGMAS_3D = (1.4, 2.8)
"""Standard deviations, in pixels, of the 3-D filters if enabled."""

LARGEST_CLASS = 2**16 - 1
"""The largest class that can be painted; labels are written in at most 16 bits."""

COMPONENTS = 32
"""Default number of principal components of the deep features."""

COMPONENT_COUNTS = range(1, 385)
"""Allowed numbers of components."""

LEARNED_FILTERS = 3
"""Version of the bundled learned filters; a setting of 0 disables them."""

TREES = 100
"""Default number of trees of a forest."""

TREE_COUNTS = range(1, 100_001)
"""Allowed numbers of trees."""

LARGEST_SEED = 2**32 - 1
"""The largest seed of a forest."""


class Forest(StrEnum):
    """How the trees are grown.

    ``extra-trees`` draws split thresholds at random (Geurts et al., Machine Learning 63, 3, 2006),
    which generalises better from few strokes; ``random`` searches the best threshold on a bootstrap
    sample (Breiman, Machine Learning 45, 5, 2001).
    """

    EXTRA_TREES = "extra-trees"
    RANDOM = "random"
