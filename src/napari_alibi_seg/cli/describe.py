"""The command ``describe``: say what classifiers and projects contain."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.options import add_command
from napari_alibi_seg.core.terminal import tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from napari_alibi_seg.cli.options import Commands
    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.runs.project import Project

_RECOGNISED = {
    True: "recognised if left out of training",
    False: "not recognised if left out of training, or too few to leave some out: no intervals",
    None: "not assessed",
}


def add_to(commands: Commands) -> None:
    """Add the command and its options."""
    command = add_command(commands, "describe", describe)
    command.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="C.skops or PROJECT.alibi"
    )


def describe(options: argparse.Namespace) -> int:
    """Say what saved classifiers and projects contain: classes, model, channels, forest."""
    for path in options.files:
        contents = _contents(path)
        tell(str(path))
        for key, value in contents.items():
            tell(f"  {key:10} {value}")
    return 0


def _contents(path: Path) -> Mapping[str, str]:
    from napari_alibi_seg.core.forest.classifier_files import load_classifier
    from napari_alibi_seg.core.runs.project import PROJECT_SUFFIX
    from napari_alibi_seg.core.runs.project_files import load_project

    if path.suffix.lower() == PROJECT_SUFFIX:
        return _of_project(load_project(path))
    return _of_classifier(load_classifier(path))


def _of_classifier(classifier: PixelClassifier) -> dict[str, str]:
    from napari_alibi_seg.core.forest.classifier import kind_of_images
    from napari_alibi_seg.core.forest.training import kind_of

    forest, size = classifier.forest, classifier.pixel_size
    return {
        "classifier": classifier.fingerprint,
        "classes": ", ".join(f"{info.value} {info.name}" for info in classifier.classes),
        "images": kind_of_images(classifier.bands),
        "pixel size": "unknown" if size is None else size.words,
        "model": str(classifier.features or classifier.model),
        "channels": _channels(classifier.channels, classifier.features is not None),
        "forest": f"{kind_of(forest)}, {len(forest.estimators_)} trees, seed {forest.random_state}",
        "smoothing": _smoothing(classifier.smoothing),
        "strokes": _RECOGNISED[classifier.recognised],
    }


def _of_project(project: Project) -> dict[str, str]:
    config, painted = project.config, Counter(project.scribbles.values.tolist())
    classes = (
        f"{info.value} {info.name}{' (ignored)' * (info.value in project.ignored)}, "
        f"{painted[info.value]} pixels painted"
        for info in project.classes
    )
    return {
        "image": "none" if project.image is None else str(project.image.path),
        "classes": "; ".join(classes),
        "model": f"{config.model}, scale {config.scale}" if config.deep else config.model,
        "channels": _channels(config.channels, config.deep),
        "forest": f"{config.forest}, {config.trees} trees, seed {config.seed}",
        "smoothing": _smoothing(config.smoothing),
    }


def _channels(config: ChannelConfig, deep: bool) -> str:
    plane, volume = (", ".join(map("{:g}".format, s)) for s in (config.sigmas, config.sigmas_3d))
    kinds = {
        f"{config.components} components of the model's features": deep,
        f"filters of {plane} px": config.sigmas,
        f"filters in 3-D of {volume} px": config.sigmas_3d,
        f"learned filters, version {config.learned}": config.learned,
        "uneven light corrected": config.flatten,
    }
    return "; ".join(kind for kind, used in kinds.items() if used)


def _smoothing(radius: int) -> str:
    return f"{radius} px" if radius else "none"
