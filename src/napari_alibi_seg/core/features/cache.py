"""A cache of feature maps: in memory up to a limit, and on disk for large planes."""

from __future__ import annotations

import os
import shutil
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

_LARGE_BYTES = 15e6
_SPARED_BYTES = 2e9  # left free on the disk, at least


@dataclass
class FeatureCache:
    """A cache of feature maps by plane content and feature identity, for one thread at a time.

    Attributes
    ----------
    memory_limit, disk_limit : float
        Bytes to keep; the least recently used maps are evicted first. A `memory_limit` of 0
        disables both caches.
    folder : Path
        Where maps of 15 MB and more are kept between runs: of planes of 4 megapixels, or of 1 at
        twice the scale.
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
        key = self.key(plane, extractor, scale)
        found = self.find(key, extractor, scale)
        if found is None:
            found = extractor.extract(plane, scale, progress)
            self.keep(key, found)
        return found

    def key(self, plane: Plane, extractor: FeatureExtractor, scale: int) -> str:
        """Return what features are cached under; this reads the whole plane."""
        # A GPU computes in half precision: comparable, but not identical bit for bit.
        kind = "cpu" if extractor.device.type == "cpu" else "gpu"
        return f"{plane.content_hash()}-{extractor.identity(scale).key}-{kind}"

    def find(self, key: str, extractor: FeatureExtractor, scale: int) -> FeatureMap | None:
        """Return cached features; None if there are none."""
        if key not in self._maps:
            # The file may be absent, damaged, empty after a power cut, or evicted by a process.
            with suppress(*DAMAGE):
                tokens = np.load(self._path(key))
                os.utime(self._path(key))
                stride = extractor.backbone.patch_size / scale
                self._remember(key, FeatureMap(tokens, stride, extractor.identity(scale)))
        if key in self._maps:
            self._maps.move_to_end(key)
        return self._maps.get(key)

    def keep(self, key: str, features: FeatureMap) -> None:
        """Cache the complete features of a plane."""
        self._remember(key, features)
        if features.tokens.nbytes < _LARGE_BYTES:
            return
        path = self._path(key)
        with suppress(OutputError, OSError):  # on a full disk the map is only computed again
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < _SPARED_BYTES + features.tokens.nbytes:
                return
            with replacing(path) as aside, aside.open("wb") as file:
                np.save(file, features.tokens)
            self._forget_oldest(path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _remember(self, key: str, features: FeatureMap) -> None:
        self._maps[key] = features
        taken = sum(kept.tokens.nbytes for kept in self._maps.values())
        while len(self._maps) > 1 and taken > self.memory_limit:
            taken -= self._maps.popitem(last=False)[1].tokens.nbytes

    def _forget_oldest(self, newest: Path) -> None:
        stored = sorted(self.folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in stored)
        for path in stored:
            if total <= self.disk_limit or path == newest:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
