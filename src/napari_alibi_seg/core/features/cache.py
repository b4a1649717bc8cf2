"""A cache of feature maps: in memory up to a limit, and on disk for large planes."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.errors import DAMAGE, OutputError
from napari_alibi_seg.core.features.extraction import FeatureExtractor, FeatureMap
from napari_alibi_seg.core.model.fetch import cache_folder
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from napari_alibi_seg.core.images.planes import Plane

_LARGE_PIXELS = 4_000_000


@dataclass
class FeatureCache:
    """A cache of feature maps, keyed by plane content and feature identity.

    Attributes
    ----------
    memory_limit, disk_limit : float
        Bytes to keep; the least recently used maps are evicted first. A `memory_limit` of 0
        disables both caches.
    folder : Path
        Where maps of planes of 4 megapixels or more are kept between runs.
    """

    memory_limit: float = 1e9
    disk_limit: float = 20e9
    folder: Path = field(default_factory=lambda: cache_folder() / "features")
    _maps: OrderedDict[str, FeatureMap] = field(default_factory=OrderedDict, init=False, repr=False)

    def get(
        self, plane: Plane, extractor: FeatureExtractor, scale: int, progress: Progress = silent
    ) -> FeatureMap:
        """Return the features of a plane, computed only if they are not cached."""
        if not self.memory_limit:
            return extractor.extract(plane, scale, progress)
        # A GPU computes in half precision: comparable, but not identical bit for bit.
        kind = "cpu" if extractor.device.type == "cpu" else "gpu"
        key = f"{plane.content_hash()}-{extractor.identity(scale).key}-{kind}"
        if key not in self._maps:
            large = plane.shape[0] * plane.shape[1] >= _LARGE_PIXELS
            self._maps[key] = (
                self._from_disk(key, plane, extractor, scale, progress)
                if large
                else extractor.extract(plane, scale, progress)
            )
        self._maps.move_to_end(key)
        while (
            len(self._maps) > 1
            and sum(m.tokens.nbytes for m in self._maps.values()) > self.memory_limit
        ):
            self._maps.popitem(last=False)
        return self._maps[key]

    def _from_disk(
        self, key: str, plane: Plane, extractor: FeatureExtractor, scale: int, progress: Progress
    ) -> FeatureMap:
        path = self.folder / f"{key}.npy"
        # The file may be absent, damaged, empty after a power cut, or evicted by another process.
        with suppress(*DAMAGE):
            tokens = np.load(path)
            os.utime(path)
            stride = extractor.backbone.patch_size / scale
            return FeatureMap(tokens, stride, extractor.identity(scale))
        made = extractor.extract(plane, scale, progress)
        with suppress(OutputError, OSError):  # on a full disk the map is only computed again
            with replacing(path) as aside, aside.open("wb") as file:
                np.save(file, made.tokens)
            self._forget_oldest(path)
        return made

    def _forget_oldest(self, newest: Path) -> None:
        stored = sorted(self.folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in stored)
        for path in stored:
            if total <= self.disk_limit or path == newest:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
