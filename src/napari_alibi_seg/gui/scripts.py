"""Write commands and scripts that reproduce a result."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.naming import LABELS, SCRIBBLES, stem
from napari_alibi_seg.gui.records import PaintClass, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.gui.source import ImageSource


def image_name(source: ImageSource) -> str:
    """Return the image's file, or the name it should be saved under."""
    path = source.exact_file
    return f"{stem(source.layer.name)}.tif" if path is None else str(path)


def labels_name(source: ImageSource) -> str:
    """Return the name labels are written under."""
    return f"{stem(source.layer.name)}{LABELS}"


def scribbles_name(source: ImageSource) -> str:
    """Return the name scribbles are exported under."""
    return f"{stem(source.layer.name)}{SCRIBBLES}"


def command(source: ImageSource, settings: Settings, classes: Sequence[PaintClass]) -> str:
    """Return the shell command that trains and segments as the window did."""
    config, channels = settings.config, settings.config.channels
    parts = ["napari-alibi-seg", "segment", image_name(source)]
    parts += ["--scribbles", scribbles_name(source)]
    parts += ["--output", labels_name(source)]
    parts += _reading(source)
    for name in ("model", "scale", "trees", "seed", "forest", "smoothing"):
        if getattr(config, name) != getattr(SegmentationConfig, name):
            parts += [f"--{name}", str(getattr(config, name))]
    if channels.components != ChannelConfig.components:
        parts += ["--components", str(channels.components)]
    if not channels.sigmas:
        parts.append("--no-filters")
    elif not channels.learned and config.deep:
        parts.append("--no-learned")
    if channels.sigmas and not channels.flatten:
        parts.append("--no-flatten")
    if channels.sigmas_3d:
        parts += ["--filters-3d", "--spacing", str(source.micrograph.anisotropy)]
    if settings.device != Settings.device:
        parts += ["--device", settings.device]
    ignored = [str(info.value) for info in classes if info.ignored]
    if ignored:
        parts += ["--ignore", ",".join(ignored)]
    named = [info for info in classes if info.name != PaintClass.default(info.value).name]
    left_out = names_left_out(classes)
    names = [f"{info.value}={info.name}" for info in named if info.name not in left_out]
    if names:
        parts += ["--names", ",".join(names)]
    return " ".join(map(quoted_for_windows, parts)) if os.name == "nt" else shlex.join(parts)


def names_left_out(classes: Sequence[PaintClass]) -> list[str]:
    """Return the names that `command` cannot give, as commas separate them there."""
    return [info.name for info in classes if "," in info.name]


def script(source: ImageSource, settings: Settings, classes: Sequence[PaintClass]) -> str:
    """Return the Python script that trains and segments as the window did."""
    config, ignored = settings.config, [info.value for info in classes if info.ignored]
    lines = [
        "from napari_alibi_seg import ChannelConfig, ClassInfo, Segmenter, SegmentationConfig",
        "from napari_alibi_seg import read_image, read_scribbles, stack_writer",
        "",
        f"image = read_image({_arguments(source, config.channels)})",
        f"scribbles = read_scribbles({scribbles_name(source)!r}, image)",
        *([f"ignored = {ignored}"] * bool(ignored)),
        "classes = [",
        *(f"    {info.to_core()}," for info in classes if not info.ignored),
        "]",
        f"channels = {config.channels}",
        f"config = SegmentationConfig(model={config.model!r}, scale={config.scale}, "
        f"channels=channels, trees={config.trees}, seed={config.seed}, "
        f"forest={config.forest.value!r}, smoothing={config.smoothing})",
        f"segmenter = Segmenter(config, device={settings.device!r})",
        f"classifier = segmenter.fit(image, scribbles, classes{', ignored' * bool(ignored)})",
        f"with stack_writer({labels_name(source)!r}, image, classifier.label_values.dtype) "
        "as write:",
        "    for index, result in segmenter.apply(classifier, image):",
        *(["        result = result.without_painted(scribbles[index], ignored)"] * bool(ignored)),
        "        write(index, result.labels)",
    ]
    return "\n".join(lines) + "\n"


def quoted_for_windows(part: str) -> str:
    """Quote an argument that the Windows command prompt or PowerShell would take apart."""
    return part if re.fullmatch(r"[\w.:/\\=+-]+", part) else '"{}"'.format(part.replace('"', r"\""))


def _reading(source: ImageSource) -> list[str]:
    if len(source.reading.axes) == 2:
        return []
    said = ["--axes", source.reading.axes]
    if source.channels is None:
        return said
    return [*said, "--channels", ",".join(map(str, source.channels))]


def _arguments(source: ImageSource, channels: ChannelConfig) -> str:
    said = [repr(image_name(source))]
    if len(source.reading.axes) > 2:
        said.append(f"axes={source.reading.axes!r}")
    if source.channels is not None:
        said.append(f"channels={list(source.channels)}")
    if channels.sigmas_3d:
        said.append(f"spacing={source.micrograph.anisotropy}")
    return ", ".join(said)
