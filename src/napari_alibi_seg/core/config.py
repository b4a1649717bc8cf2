"""All settings that determine a segmentation. Has no heavy imports."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.choices import (
    CLASSICAL,
    COMPONENT_COUNTS,
    COMPONENTS,
    DEFAULT_MODEL,
    LARGEST_SEED,
    LEARNED_FILTERS,
    SCALE,
    SCALES,
    SIGMAS,
    SIGMAS_3D,
    SMOOTHING,
    SMOOTHING_RADII,
    TREE_COUNTS,
    TREES,
    Forest,
)
from napari_alibi_seg.core.errors import AlibiSegError, ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_alibi_seg.core.images.planes import Plane

_LEAST_SPACING = 0.1
_LARGEST_SIGMA = 1000.0


@dataclass(frozen=True)
class ChannelConfig:
    """The channels of a pixel.

    Attributes
    ----------
    components : int
        Maximum number of principal components of the deep features.
    contrast : float
        Sigma, in tokens, of the Gaussian local mean that is subtracted from the deep features, so
        that a few strokes teach phases rather than regions; 0 subtracts nothing.
    sigmas : tuple of float
        Standard deviations of the classical filters, in pixels; empty for no filters of any kind.
    sigmas_3d : tuple of float
        Standard deviations of the 3-D filters (`filters_3d`), in pixels; empty for none, as
        without `sigmas`. They require images with a Z axis.
    learned : int
        Version of the learned filters (`learned_filters`), which is `LEARNED_FILTERS`; 0 for none,
        as without `sigmas`.
    flatten : bool
        Whether uneven illumination (`Shading`), where there is any, is corrected for the filters
        and the smoothing; False without `sigmas`.
    """

    components: int = COMPONENTS
    contrast: float = 12.0
    sigmas: tuple[float, ...] = SIGMAS
    sigmas_3d: tuple[float, ...] = ()
    learned: int = LEARNED_FILTERS
    flatten: bool = True

    def __post_init__(self) -> None:
        """Reject invalid numbers; convert numpy numbers to Python's; without `sigmas`, drop all."""
        _take_whole(self, components=COMPONENT_COUNTS)
        if self.learned not in (0, LEARNED_FILTERS):
            raise AlibiSegError(
                f"There are no learned filters of version {self.learned!r} here, only of "
                f"{LEARNED_FILTERS} (0 is for none); what was trained with others must be trained "
                "anew."
            )
        try:
            sigmas = (*self.sigmas, *self.sigmas_3d)
            usable = all(0 < one <= _LARGEST_SIGMA for one in sigmas) and (
                0 <= self.contrast < math.inf
            )
        except TypeError:
            usable = False
        if not usable:
            raise AlibiSegError(
                f"Filters cannot have the sigmas {self.sigmas!r} and {self.sigmas_3d!r} (3-D) and "
                f"the contrast {self.contrast!r}; give sigmas above 0 and up to "
                f"{_LARGEST_SIGMA:g} pixels, as in (1.4, 2.8), and a contrast of 0 or more."
            )
        for name in ("sigmas", "sigmas_3d"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        object.__setattr__(self, "contrast", float(self.contrast))
        object.__setattr__(self, "learned", int(self.learned))
        if not self.sigmas:
            object.__setattr__(self, "sigmas_3d", ())
            object.__setattr__(self, "learned", 0)
            object.__setattr__(self, "flatten", False)

    @classmethod
    def chosen(
        cls, components: int, filters: bool, learned: bool, filters_3d: bool, flatten: bool
    ) -> ChannelConfig:
        """Return the channels for a number of components and on/off options."""
        return cls(
            components,
            sigmas=SIGMAS if filters else (),
            sigmas_3d=SIGMAS_3D if filters_3d else (),
            learned=LEARNED_FILTERS if learned else 0,
            flatten=flatten,
        )

    @classmethod
    def saved(cls, fields: Mapping[str, Any]) -> ChannelConfig:
        """Return channels from a file; in the oldest files, the light was left as it was."""
        return cls(**{"flatten": False, **fields})

    @property
    def filters(self) -> tuple[object, ...]:
        """The settings that determine the pixel filters."""
        return self.sigmas, self.sigmas_3d, self.learned, self.flatten

    def require(self, plane: Plane) -> None:
        """Reject a plane for which the 3-D filters cannot be computed.

        Raises
        ------
        ImageError
            If the plane is not part of a volume, or the slice spacing is below 0.1 pixels.
        """
        if not self.sigmas_3d:
            return
        if plane.depth is None:
            raise ImageError(
                "3-D filters look at the planes around each plane, but this image has no axis Z of "
                "two planes or more; train without them, or name the axis if the image is a "
                "volume, as in axes='ZYX' (--axes ZYX)."
            )
        if plane.depth.spacing < _LEAST_SPACING:
            raise ImageError(
                f"The planes lie {plane.depth.spacing:g} pixels apart by the image's voxel size, "
                f"but 3-D filters need {_LEAST_SPACING:g} or more; give the true distance as in "
                "spacing=2.5 (--spacing 2.5)."
            )


@dataclass(frozen=True)
class SegmentationConfig:
    """All settings that determine a segmentation from scribbles.

    Attributes
    ----------
    model : str
        Name or path (also a `Path`) of a backbone (`load_model`), or ``classical`` for none.
    scale : int
        Magnification of the image before the backbone, 1 to 4; the time grows with its square.
    channels : ChannelConfig
        The channels of a pixel; learned filters are disabled if `model` is ``classical``.
    trees : int
        Number of trees of the forest.
    seed : int
        Seed of the forest, at most 2**32 - 1; equal inputs and seed give identical results.
    forest : Forest
        How the trees are grown.
    smoothing : int
        Radius, in pixels, of the edge-preserving filter of the votes (`core.forest.smoothing`); 0
        for none.
    """

    model: str = DEFAULT_MODEL
    scale: int = SCALE
    channels: ChannelConfig = field(default_factory=ChannelConfig)
    trees: int = TREES
    seed: int = 0
    forest: Forest = Forest.EXTRA_TREES
    smoothing: int = SMOOTHING

    def __post_init__(self) -> None:
        """Reject invalid settings early."""
        seeds = range(LARGEST_SEED + 1)
        _take_whole(self, scale=SCALES, trees=TREE_COUNTS, seed=seeds, smoothing=SMOOTHING_RADII)
        if self.forest not in list(Forest):
            raise AlibiSegError(
                f"There is no forest {self.forest!r}; choose one of {', '.join(Forest)}."
            )
        object.__setattr__(self, "forest", Forest(self.forest))  # a plain string is accepted, too
        if isinstance(self.model, os.PathLike):
            object.__setattr__(self, "model", os.fspath(self.model))
        if not isinstance(self.model, str):
            raise AlibiSegError(
                f"A model is given by its name or path, but this is {self.model!r}; write, for "
                f"example, {DEFAULT_MODEL!r}, or {CLASSICAL!r} for none."
            )
        if not isinstance(self.channels, ChannelConfig):
            raise AlibiSegError(
                f"The channels are a ChannelConfig, but these are {self.channels!r}; write, for "
                "example, ChannelConfig(sigmas=(1.4, 2.8))."
            )
        if not self.deep:
            object.__setattr__(self, "channels", replace(self.channels, learned=0))

    @property
    def deep(self) -> bool:
        """Whether a model computes features, besides the pixel filters."""
        return self.model != CLASSICAL

    @property
    def deep_channels(self) -> tuple[object, ...]:
        """The settings that determine the deep channels."""
        return self.model, self.scale, self.channels.components, self.channels.contrast


def _take_whole(config: ChannelConfig | SegmentationConfig, **fields: range) -> None:
    """Reject fields that are not whole numbers of a range; convert numpy numbers to Python's."""
    for name, allowed in fields.items():
        value = getattr(config, name)
        if not isinstance(value, Integral) or value not in allowed:
            raise AlibiSegError(
                f"The {name} {value!r} cannot be used; give a whole number from {allowed[0]} to "
                f"{allowed[-1]}."
            )
        object.__setattr__(config, name, int(value))
