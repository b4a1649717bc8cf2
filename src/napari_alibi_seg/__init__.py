"""Segment micrographs from scribbles with ALiBi-DINOv2 features and a random forest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_alibi_seg.core.choices import Forest as Forest
    from napari_alibi_seg.core.classes import ClassInfo as ClassInfo
    from napari_alibi_seg.core.config import ChannelConfig as ChannelConfig
    from napari_alibi_seg.core.config import SegmentationConfig as SegmentationConfig
    from napari_alibi_seg.core.errors import AlibiSegError as AlibiSegError
    from napari_alibi_seg.core.features.extraction import FeatureExtractor as FeatureExtractor
    from napari_alibi_seg.core.forest.classifier import PixelClassifier as PixelClassifier
    from napari_alibi_seg.core.forest.classifier_files import load_classifier as load_classifier
    from napari_alibi_seg.core.forest.classifier_files import save_classifier as save_classifier
    from napari_alibi_seg.core.forest.result import Segmentation as Segmentation
    from napari_alibi_seg.core.images.micrograph import Micrograph as Micrograph
    from napari_alibi_seg.core.images.micrograph import as_micrograph as as_micrograph
    from napari_alibi_seg.core.images.micrograph import read_image as read_image
    from napari_alibi_seg.core.images.pixel_size import PixelSize as PixelSize
    from napari_alibi_seg.core.judging.expectation import Expectation as Expectation
    from napari_alibi_seg.core.judging.fractions import add_fractions as add_fractions
    from napari_alibi_seg.core.judging.fractions import class_fractions as class_fractions
    from napari_alibi_seg.core.judging.fractions import write_fractions as write_fractions
    from napari_alibi_seg.core.judging.judge import assess as assess
    from napari_alibi_seg.core.model.debiasing import load_model as load_model
    from napari_alibi_seg.core.runs.project import Project as Project
    from napari_alibi_seg.core.runs.project_files import load_project as load_project
    from napari_alibi_seg.core.runs.project_files import save_project as save_project
    from napari_alibi_seg.core.runs.results import read_scribbles as read_scribbles
    from napari_alibi_seg.core.runs.results import stack_writer as stack_writer
    from napari_alibi_seg.core.segmentation import Segmenter as Segmenter
    from napari_alibi_seg.core.segmentation import segment as segment

__version__ = "0.1.0"

_HOMES = {
    "AlibiSegError": "errors",
    "ChannelConfig": "config",
    "ClassInfo": "classes",
    "Expectation": "judging.expectation",
    "FeatureExtractor": "features.extraction",
    "Forest": "choices",
    "Micrograph": "images.micrograph",
    "PixelClassifier": "forest.classifier",
    "PixelSize": "images.pixel_size",
    "Project": "runs.project",
    "Segmentation": "forest.result",
    "SegmentationConfig": "config",
    "Segmenter": "segmentation",
    "add_fractions": "judging.fractions",
    "as_micrograph": "images.micrograph",
    "assess": "judging.judge",
    "class_fractions": "judging.fractions",
    "load_classifier": "forest.classifier_files",
    "load_model": "model.debiasing",
    "load_project": "runs.project_files",
    "read_image": "images.micrograph",
    "read_scribbles": "runs.results",
    "save_classifier": "forest.classifier_files",
    "save_project": "runs.project_files",
    "segment": "segmentation",
    "stack_writer": "runs.results",
    "write_fractions": "judging.fractions",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, and napari asks every plugin at its start.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
