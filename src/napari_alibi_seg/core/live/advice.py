"""What the live engine adds to a result: where to paint next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.judging.judge import sampling_plane
from napari_alibi_seg.core.judging.suggestions import grid_step, next_spots
from napari_alibi_seg.core.live.records import Advice, Step
from napari_alibi_seg.core.progress import map_steps

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.judge import SampledPlane
    from napari_alibi_seg.core.judging.suggestions import Spot
    from napari_alibi_seg.core.live.channels import PlaneChannels


def suggesting(
    plane: Index, scribbles: NDArray[Any], channels: PlaneChannels, classifier: PixelClassifier
) -> Generator[Step | Advice, None, tuple[SampledPlane, tuple[Spot, ...]]]:
    """Suggest where to paint next, as a generator that can be closed at any step.

    Parameters
    ----------
    plane : Index
        The classified plane.
    scribbles : ndarray
        (Y, X) scribbles of the plane, including ignored classes.
    channels : PlaneChannels
        Channels of the plane.
    classifier : PixelClassifier
        The classifier used.

    Yields
    ------
    Step, Advice
        Steps, then the spots.

    Returns
    -------
    tuple
        The sampled plane, by which it can be assessed, and the spots.
    """
    sampled = yield from map_steps(sampling_plane(classifier, channels), lambda _: Step())
    spots = next_spots(sampled.votes, scribbles > 0, grid_step(channels.shape), sampled.missing)
    yield Advice(plane, spots)
    return sampled, spots
