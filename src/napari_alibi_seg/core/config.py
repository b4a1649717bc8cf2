"""Every setting between scribbles and a segmentation; importing this imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import TYPE_CHECKING

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
    from napari_alibi_seg.core.channels.filters import Filters
    from napari_alibi_seg.core.images.planes import Plane

_LEAST_SPACING = 0.1
_LARGEST_SIGMA = 1000.0


@dataclass(frozen=True)
class ChannelConfig:
    """Which channels a pixel has.

    Attributes
    ----------
    components : int
        Principal components kept of the deep features.
    contrast : float
        Sigma, in tokens, of the Gaussian mean of the surroundings that is subtracted from the deep
        features, so that few strokes teach phases and not regions; 0 keeps them as they are.
    sigmas : tuple of float
        Standard deviations of the classical filters, in pixels; empty for no classical channels.
    sigmas_3d : tuple of float
        Those of classical filters that look through a volume (`filters_3d`), in pixels; empty for
        none. They need `sigmas`, and images with an axis Z.
    learned : int
        Version of the learned filters (`learned_filters`) beside them, `LEARNED_FILTERS`; 0 for
        none. They need `sigmas`, too.
    """

    components: int = COMPONENTS
    contrast: float = 12.0
    sigmas: tuple[float, ...] = SIGMAS
    sigmas_3d: tuple[float, ...] = ()
    learned: int = LEARNED_FILTERS

    def __post_init__(self) -> None:
        """Refuse sizes and numbers that cannot be; those of numpy become Python's."""
        _take_whole(self, components=COMPONENT_COUNTS)
        if self.learned not in (0, LEARNED_FILTERS):
            raise AlibiSegError(
                f"There are no learned filters of version {self.learned!r} here, only of "
                f"{LEARNED_FILTERS} (0 is for none); what was trained with others must be trained "
                "anew."
            )
        sigmas = (*self.sigmas, *self.sigmas_3d)
        if not (all(0 < sigma <= _LARGEST_SIGMA for sigma in sigmas) and self.contrast >= 0):
            raise AlibiSegError(
                f"Filters cannot have the sigmas {sigmas} and the contrast {self.contrast}; give "
                f"sigmas above 0 and up to {_LARGEST_SIGMA:g} pixels, and a contrast of 0 or more."
            )
        for name in ("sigmas", "sigmas_3d"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        object.__setattr__(self, "contrast", float(self.contrast))
        object.__setattr__(self, "learned", int(self.learned))

    @classmethod
    def chosen(
        cls, components: int, filters: bool, learned: bool, filters_3d: bool
    ) -> ChannelConfig:
        """Return the channels that a number and three choices ask for."""
        if not filters:
            return cls(components, sigmas=())
        through = SIGMAS_3D if filters_3d else ()
        return cls(components, sigmas_3d=through, learned=LEARNED_FILTERS if learned else 0)

    @property
    def filters(self) -> Filters:
        """Which filters there are; imports scipy."""
        from napari_alibi_seg.core.channels.filters import Filters

        if not self.sigmas:
            return Filters()
        return Filters(self.sigmas, self.sigmas_3d, bool(self.learned))

    def require(self, plane: Plane) -> None:
        """Refuse a plane for which 3-D filters cannot be computed.

        Raises
        ------
        ImageError
            If there is no volume around it, or its planes lie too close together.
        """
        if not self.filters.sigmas_3d:
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
    """Everything that decides what scribbles turn into.

    Attributes
    ----------
    model : str
        Name or path of a backbone (`load_model`), or ``classical`` for none.
    scale : int
        Magnification of the image before the backbone, 1 to 4; the time grows with its square.
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
        (`core.forest.smoothing`); 0 for none.
    """

    model: str = DEFAULT_MODEL
    scale: int = SCALE
    channels: ChannelConfig = field(default_factory=ChannelConfig)
    trees: int = TREES
    seed: int = 0
    forest: Forest = Forest.EXTRA_TREES
    smoothing: int = SMOOTHING

    def __post_init__(self) -> None:
        """Refuse what nothing can be trained with, before it is noticed after long work."""
        seeds = range(LARGEST_SEED + 1)
        _take_whole(self, scale=SCALES, trees=TREE_COUNTS, seed=seeds, smoothing=SMOOTHING_RADII)
        if self.forest not in list(Forest):
            raise AlibiSegError(
                f"There is no forest {self.forest!r}; choose one of {', '.join(Forest)}."
            )
        object.__setattr__(self, "forest", Forest(self.forest))  # a plain name serves, too
        if self.model == CLASSICAL:
            object.__setattr__(self, "channels", replace(self.channels, learned=0))


def _take_whole(config: ChannelConfig | SegmentationConfig, **fields: range) -> None:
    """Refuse fields that are no whole numbers of a range; numpy's become Python's."""
    for name, allowed in fields.items():
        value = getattr(config, name)
        if not isinstance(value, Integral) or value not in allowed:
            raise AlibiSegError(
                f"The {name} {value!r} cannot be used; give a whole number from {allowed[0]} to "
                f"{allowed[-1]}."
            )
        object.__setattr__(config, name, int(value))
