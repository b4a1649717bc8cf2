"""What a person chooses by name; importing this imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum

DEFAULT_MODEL = "alibi-dinov2-s14"
CLASSICAL = "classical"
"""The model name that means: no deep features."""

SCALES = (1, 2, 3, 4)
"""How many times an image may be magnified before the model."""

SMOOTHING = 4
"""Radius, in pixels, of the filter that smooths the votes."""

LARGEST_RADIUS = 32
"""The largest one it may have."""


class Forest(StrEnum):
    """How the trees are grown.

    ``extra-trees`` draws the threshold of a split at random (Geurts et al., Machine Learning 63,
    3, 2006), which generalises better from few strokes; ``random`` searches the best one among
    bootstrapped pixels (Breiman, Machine Learning 45, 5, 2001).
    """

    EXTRA_TREES = "extra-trees"
    RANDOM = "random"
