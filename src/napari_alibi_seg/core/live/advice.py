"""What the live engine adds to a result: its assessment, and where to paint next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.judging.judge import assessing_plane, sampling_grid
from napari_alibi_seg.core.judging.suggestions import grid_step, next_spots
from napari_alibi_seg.core.live.records import Assessed, Working
from napari_alibi_seg.core.progress import map_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.judge import Training
    from napari_alibi_seg.core.live.channels import PlaneChannels


def advising(
    plane: Index, scribbles: NDArray[Any], channels: PlaneChannels, training: Training
) -> Iterator[Working | Assessed]:
    """Suggest where to paint next and assess a result, as a generator that can be closed any time.

    Parameters
    ----------
    plane : Index
        The classified plane.
    scribbles : ndarray
        (Y, X) scribbles of the plane, including ignored classes.
    channels : PlaneChannels
        Channels of the plane.
    training : Training
        The classifier used, and its training data.

    Yields
    ------
    Working, Assessed
        The spots as soon as they are known; then spots and assessment, if the plane is scribbled
        and each class has at least two pieces of strokes.
    """
    values, missing = yield from map_steps(sampling_grid(channels), _working)
    shares = votes(training.classifier.forest, values).astype(np.float32)
    spots = next_spots(shares, scribbles > 0, grid_step(channels.shape), missing)
    yield Assessed(plane, spots)
    if plane not in training.painted:
        return
    work = assessing_plane(training, scribbles, values, shares, missing)
    assessment = yield from map_steps(work, _working)
    if assessment is not None:
        yield Assessed(plane, spots, assessment)


def _working(_: object) -> Working:
    return Working()
