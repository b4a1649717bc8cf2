"""Every option of a run that trains learned filters; importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.finetune.config import FinetuneConfig
from napari_alibi_seg.finetune.options import Option
from napari_alibi_seg.finetune.run_config import Precision, RunConfig

_COARSEST = 8  # pixels that the coarsest level of the filters takes together


@dataclass(frozen=True)
class FilterConfig(RunConfig):
    """Every option of a run; each says for itself what it means."""

    MODELS: ClassVar[tuple[str, ...]] = ("model", "init")
    KEPT: ClassVar[str] = "the tokens so far are kept"

    model: Annotated[str, Option("model whose tokens are to be foretold, by name or path")] = (
        DEFAULT_MODEL
    )
    pictures: Annotated[
        int, Option("views cut from the images, whose tokens are computed once", "views")
    ] = 2500
    view_tokens: Annotated[int, Option("side of a view, a multiple of 8", "tokens")] = 32
    magnification: Annotated[
        tuple[float, ...], Option("smallest and largest magnification before cutting", "times")
    ] = (0.7, 1.4)
    batch: Annotated[int, Option("views that a step learns from", "views")] = 2
    synthetic: Annotated[
        int, Option("micrographs made up afresh for every step", "micrographs")
    ] = 5
    contrast: Annotated[
        float, Option("deviation of the logarithm of gamma, and .8 of that of the contrast")
    ] = 0.25
    brightness: Annotated[float, Option("deviation of the brightness", "of the range")] = 0.08
    noise: Annotated[float, Option("deviation of the deviation of added noise", "of the range")] = (
        0.06
    )
    steps: Annotated[int, Option("length of the whole schedule", "optimiser steps")] = 20000
    learning_rate: Annotated[float, Option("highest learning rate, after the warm-up")] = 2e-3
    weight_decay: Annotated[float, Option("AdamW weight decay of the filters")] = 0.01
    ema: Annotated[float, Option("decay per step of the weights' mean that is exported")] = 0.995
    validation_pictures: Annotated[int, Option("views of images held out", "views")] = 64
    validation_synthetic: Annotated[
        int, Option("made-up micrographs that are not trained on", "micrographs")
    ] = 100
    workers: Annotated[
        int,
        Option(
            "processes that make up micrographs in the background; 0: none, the training waits "
            "for them",
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

    @property
    def of_pictures(self) -> FinetuneConfig:
        """How pictures are read and views are cut from them, all grey."""
        return FinetuneConfig(
            magnification=self.magnification,
            grey=1.0,
            held_out=self.held_out,
            sources=self.sources,
            seed=self.seed,
            memory=self.memory,
        )
