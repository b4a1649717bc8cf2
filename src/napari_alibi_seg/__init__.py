"""Segment micrographs from scribbles with ALiBi-DINOv2 features and a random forest."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AlibiSegError": "errors",
    "ChannelConfig": "channels",
    "ClassInfo": "classifier",
    "FeatureExtractor": "features",
    "Micrograph": "images",
    "PixelClassifier": "classifier",
    "Segmentation": "classifier",
    "SegmentationConfig": "config",
    "Segmenter": "segmentation",
    "as_micrograph": "images",
    "load_backbone": "checkpoints",
    "load_classifier": "classifier_files",
    "read_image": "images",
    "read_scribbles": "results",
    "save_classifier": "classifier_files",
    "segment": "segmentation",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, and napari asks every plugin at its start.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.core.{_HOMES[name]}"), name)
