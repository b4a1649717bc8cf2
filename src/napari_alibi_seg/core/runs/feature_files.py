"""Patch features written plane by plane to a Zarr array that other programs can read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_alibi_seg.core.choices import SCALE
from napari_alibi_seg.core.devices import inference_dtype
from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.model.names import absolute_model
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.runs.planewise import LoadedWork, PlaneJob, make_planes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.micrograph import ImageFile
    from napari_alibi_seg.core.images.planes import Plane


@dataclass(frozen=True)
class FeatureWork:
    """The computation of patch features of planes.

    Attributes
    ----------
    model : str
        Name or path of a backbone (`load_model`).
    scale : int
        Magnification of the image before the backbone.
    key : str
        `FeatureIdentity.key` of the features.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """

    model: str
    scale: int
    key: str
    device: str

    @property
    def identity(self) -> dict[str, str]:
        """The features."""
        return {"features": self.key}

    def load(self) -> LoadedWork:
        """Load the weights.

        Raises
        ------
        ModelError
            If the model cannot be loaded, or differs from that at the start of the run.
        DeviceError
            If the device does not exist here or has too little memory.
        """
        extractor = FeatureExtractor.load(self.model, self.device)
        if extractor.identity(self.scale).key != self.key:
            raise ModelError(
                f"{self.model} changed after the run began, or is another model on this worker; "
                "give all workers the same."
            )

        def make(plane: Plane, progress: Progress) -> NDArray[Any]:
            return extractor.extract(plane, self.scale, progress).tokens

        return LoadedWork(make, str(inference_dtype(extractor.device)))

    def write(self, output: Path, index: tuple[int, ...], made: NDArray[Any]) -> None:
        """Write the (h, w, C) features of a plane."""
        zarr.open_array(output, mode="r+")[index] = made

    def read(self, output: Path, index: tuple[int, ...]) -> NDArray[Any]:
        """Return the (h, w, C) float16 features of a plane."""
        return np.asarray(zarr.open_array(output, mode="r")[index])


def write_features(
    source: ImageFile,
    output: Path,
    model: str,
    scale: int = SCALE,
    *,
    device: str = "auto",
    cluster: str | None = None,
    progress: Progress = silent,
) -> tuple[int, int]:
    """Write the features of every plane of an image to a Zarr array, or resume doing so.

    The float16 array has the leading (T, Z) axes of the image, then patch rows, patch columns and
    channels. Its attributes are `stride` (pixels per token; token i is centred on pixel
    ``stride * (i + .5) - .5``), `axes` and `identity` (model, weights, geometry, block, scale,
    tiling).

    Parameters
    ----------
    source : ImageFile
        The image.
    output : Path
        A folder, by convention ``*.zarr``; new, or from a run with the same image, features and
        version of this program.
    model : str
        Name or path of a backbone (`load_model`).
    scale : int, optional
        Magnification, 1 to 4.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    cluster, progress
        As for `make_planes`, as are the return value and the errors.
    """
    model = absolute_model(model)
    image = source.read()
    extractor = FeatureExtractor.load(model, "cpu")  # the device may only exist on workers
    identity = extractor.identity(scale)

    def create(path: Path) -> None:
        leading = image.label_shape[:-2]
        grid = (*extractor.grid(image.shape_yx, scale), extractor.backbone.channels)
        chunks = (*[1] * len(leading), *grid)
        array = zarr.create_array(path, shape=(*leading, *grid), chunks=chunks, dtype="float16")
        array.attrs["axes"] = [*image.label_axes.lower(), "channel"]
        array.attrs["stride"] = extractor.backbone.patch_size / scale
        array.attrs["identity"] = json.loads(json.dumps(asdict(identity)))

    return make_planes(
        "features",
        PlaneJob(source, image.levels, (), FeatureWork(model, scale, identity.key, device), output),
        image,
        create,
        cluster=cluster,
        progress=progress,
    )
