"""Every setting between scribbles and a segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from napari_alibi_seg.core.channels import ChannelConfig
from napari_alibi_seg.core.choices import (
    CLASSICAL,
    DEFAULT_MODEL,
    LARGEST_SEED,
    SCALES,
    SMOOTHING,
    SMOOTHING_RADII,
    TREE_COUNTS,
    TREES,
    Forest,
)
from napari_alibi_seg.core.errors import AlibiSegError


@dataclass(frozen=True)
class SegmentationConfig:
    """Everything that decides what scribbles turn into.

    Attributes
    ----------
    model : str
        Name or path of a backbone (`load_model`), or ``classical`` for none.
    scale : int or None
        Magnification of the image before the backbone, 1 to 4; None chooses by the size of the
        first plane painted (`automatic_scale`).
    channels : ChannelConfig
        Which channels a pixel has; without a backbone no learned ones either.
    trees : int
        Trees of the forest.
    seed : int
        Seed of the forest, at most 2**32 - 1; equal inputs and seed give equal bytes.
    forest : Forest
        How the trees are grown.
    smoothing : int
        Radius, in pixels, of the filter that smooths the votes but not across edges of the image
        (`core.smoothing`); 0 for none.
    """

    model: str = DEFAULT_MODEL
    scale: int | None = None
    channels: ChannelConfig = field(default_factory=ChannelConfig)
    trees: int = TREES
    seed: int = 0
    forest: Forest = Forest.EXTRA_TREES
    smoothing: int = SMOOTHING

    def __post_init__(self) -> None:
        """Refuse what nothing can be trained with, before it is noticed after long work."""
        _require("scale", self.scale, range(SCALES[0], SCALES[-1] + 1), None)
        _require("trees", self.trees, TREE_COUNTS)
        _require("seed", self.seed, range(LARGEST_SEED + 1))
        _require("smoothing", self.smoothing, SMOOTHING_RADII)
        if self.forest not in list(Forest):
            raise AlibiSegError(
                f"There is no forest {self.forest!r}; choose one of {', '.join(Forest)}."
            )
        object.__setattr__(self, "forest", Forest(self.forest))  # a plain name serves, too
        if self.model == CLASSICAL:
            object.__setattr__(self, "channels", replace(self.channels, learned=0))


def _require(name: str, value: int | None, allowed: range, *others: None) -> None:
    if value not in others and value not in allowed:
        also = f", or {others[0]}" if others else ""
        raise AlibiSegError(
            f"The {name} {value!r} cannot be used; give a whole number from {allowed[0]} to "
            f"{allowed[-1]}{also}."
        )
