"""Options of a run that trains learned filters; importing this module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.finetune.options import Option
from napari_alibi_seg.finetune.run_config import Precision, RunConfig

_COARSEST = 8  # downsampling factor of the filters' coarsest level


@dataclass(frozen=True)
class FilterConfig(RunConfig):
    """Options of a run that trains learned filters; the `Option` of each field describes it."""

    MODELS: ClassVar[tuple[str, ...]] = ("model", "init")
    KEPT: ClassVar[str] = "the tokens so far are kept"

    model: Annotated[str, Option("teacher whose tokens are to be predicted, by name or path")] = (
        DEFAULT_MODEL
    )
    pictures: Annotated[
        int, Option("training views cropped from the images, with tokens computed once", "views")
    ] = 2500
    view_tokens: Annotated[int, Option("side of a view, a multiple of 8", "tokens")] = 32
    magnification: Annotated[
        tuple[float, ...], Option("smallest and largest magnification before cropping", "times")
    ] = (0.7, 1.4)
    batch: Annotated[int, Option("views per step", "views")] = 2
    synthetic: Annotated[int, Option("new synthetic micrographs per step", "micrographs")] = 5
    contrast: Annotated[
        float, Option("standard deviation of log gamma, and of log contrast divided by 0.8")
    ] = 0.25
    brightness: Annotated[
        float, Option("standard deviation of the brightness shift", "of the range")
    ] = 0.08
    noise: Annotated[
        float, Option("scale of the (half normal) amplitude of the noise", "of the range")
    ] = 0.06
    steps: Annotated[int, Option("length of the whole schedule", "optimiser steps")] = 20000
    learning_rate: Annotated[float, Option("peak learning rate, after the warm-up")] = 2e-3
    weight_decay: Annotated[float, Option("AdamW weight decay of the filters")] = 0.01
    ema: Annotated[
        float, Option("decay per step of the moving average of the weights, which is exported")
    ] = 0.995
    validation_pictures: Annotated[
        int, Option("validation views, cropped from held out images", "views")
    ] = 64
    validation_synthetic: Annotated[
        int, Option("synthetic micrographs for validation", "micrographs")
    ] = 100
    workers: Annotated[
        int,
        Option(
            "background processes that generate synthetic micrographs; 0: the training process "
            "generates them itself",
            "processes",
            fixed=False,
        ),
    ] = 1

    def __post_init__(self) -> None:
        counts = (self.pictures, self.batch, self.synthetic)
        validation = (self.validation_pictures, self.validation_synthetic)
        deviations = (self.contrast, self.brightness, self.noise)
        self.require(
            {
                "pictures, batch, synthetic, validation_pictures and validation_synthetic must be "
                "1 or more": min(*counts, *validation) >= 1,
                "batch must not be larger than pictures": self.batch <= self.pictures,
                f"view_tokens must be a multiple of {_COARSEST} above 0": (
                    self.view_tokens > 0 and self.view_tokens % _COARSEST == 0
                ),
                "contrast, brightness, noise and workers must not be negative": (
                    min(*deviations, self.workers) >= 0
                ),
                "precision must be auto, float32 or bfloat16": (
                    self.precision is not Precision.FLOAT16
                ),
            }
        )
