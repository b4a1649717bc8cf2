"""Provide real micrographs with scribbles; layer metadata name the sources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from PIL import Image

from napari_alibi_seg.gui.painting import scribbles_options
from napari_alibi_seg.gui.records import PaintClass

ATTRIBUTION = "attribution"
"""Metadata of the image of a sample: source and licence."""


@dataclass(frozen=True)
class Sample:
    """A bundled micrograph.

    Attributes
    ----------
    name : str
        Stem of its file names.
    classes : tuple of str
        Names of the classes of its scribbles.
    attribution : str
        Source and licence.
    """

    name: str
    classes: tuple[str, ...]
    attribution: str


_SUPERALLOY = Sample(
    "superalloy",
    ("matrix", "large gamma prime", "small gamma prime"),
    "SEM, Ni superalloy, scribbles drawn by a person; tldr-group/interactive-seg-backend, MIT",
)
_STEEL = Sample(
    "steel",
    ("ferrite", "cementite"),
    "SEM, spheroidised ultrahigh-carbon steel; UHCSDB (B. DeCost, M. Hecht, T. Francis, "
    "Y. Picard, B. Webler, E. Holm), CC BY 3.0, by way of rccohn/AMPIS, MIT",
)
_NANOCOMPOSITE = Sample(
    "nanocomposite",
    ("matrix", "agglomerate"),
    "SEM, epoxy with particles; baiyubaiyu/Identification-of-nanocomposites-agglomerates, MIT",
)
_SANDSTONE = Sample(
    "sandstone",
    ("air", "clay", "quartz", "heavy mineral"),
    "X-ray microscopy, sandstone; bnsreenu/python_for_microscopists, MIT",
)


def open_image(sample: Sample) -> list[tuple[Any, dict[str, Any], str]]:
    """Return a micrograph as a napari layer, with nothing painted."""
    image = {"name": sample.name, "metadata": {ATTRIBUTION: sample.attribution}}
    return [(_read(f"{sample.name}.png"), image, "image")]


def open_sample(sample: Sample) -> list[tuple[Any, dict[str, Any], str]]:
    """Return a micrograph and its scribbles as napari layers."""
    scribbles = _read(f"{sample.name}_scribbles.png")
    classes = [PaintClass.default(value + 1) for value in range(len(sample.classes))]
    painted = scribbles_options(sample.name, classes, {"classes": sample.classes})
    return [*open_image(sample), (scribbles, painted, "labels")]


def _read(name: str) -> np.ndarray[Any, Any]:
    with as_file(files("napari_alibi_seg") / "samples" / name) as path, Image.open(path) as stored:
        return np.array(stored)


unpainted = partial(open_image, _SUPERALLOY)
superalloy = partial(open_sample, _SUPERALLOY)
steel = partial(open_sample, _STEEL)
nanocomposite = partial(open_sample, _NANOCOMPOSITE)
sandstone = partial(open_sample, _SANDSTONE)
