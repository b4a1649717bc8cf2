"""Every option of a run that trains learned filters; importing this imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Annotated

from napari_alibi_seg.core.choices import DEFAULT_MODEL, LARGEST_SEED
from napari_alibi_seg.core.models import absolute_model, model_without_folder
from napari_alibi_seg.finetune.config import FinetuneConfig, Precision
from napari_alibi_seg.finetune.options import Option, Options

_COARSEST = 8  # pixels that the coarsest level of the filters takes together


@dataclass(frozen=True)
class FilterConfig(Options):
    """Every option of a run; each says for itself what it means."""

    images: Annotated[
        tuple[str, ...], Option("image files, and folders to search through", fixed=False)
    ] = ()
    model: Annotated[str, Option("model whose tokens are to be foretold, by name or path")] = (
        DEFAULT_MODEL
    )
    init: Annotated[str, Option("filters of an earlier run to start from")] = ""
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
    warmup: Annotated[
        int, Option("linear warm-up, before a cosine decay to zero", "optimiser steps")
    ] = 100
    weight_decay: Annotated[float, Option("AdamW weight decay of the filters")] = 0.01
    clip: Annotated[float, Option("largest norm of the gradient")] = 1.0
    ema: Annotated[float, Option("decay per step of the weights' mean that is exported")] = 0.995
    held_out: Annotated[
        float, Option("share of images kept for validation, by hash of their name", "0 to 1")
    ] = 0.05
    validation_pictures: Annotated[int, Option("views of images held out", "views")] = 64
    validation_synthetic: Annotated[
        int, Option("made-up micrographs that are not trained on", "micrographs")
    ] = 100
    validate_every: Annotated[int, Option("time between validations", "optimiser steps")] = 500
    licence: Annotated[str, Option("licence of the filters, for the card")] = "Apache-2.0"
    sources: Annotated[
        str,
        Option(
            "text file that names the sources and licences of the images, for the card", fixed=False
        ),
    ] = ""
    seed: Annotated[int, Option("seed of every random choice")] = 0
    device: Annotated[str, Option("auto, cpu, cuda, cuda:N or mps", fixed=False)] = "auto"
    precision: Annotated[
        Precision,
        Option("number format; auto: bfloat16 on devices that compute in it, else float32"),
    ] = Precision.AUTO
    threads: Annotated[int, Option("CPU threads; 0: torch decides", fixed=False)] = 0
    workers: Annotated[
        int,
        Option(
            "processes that make up micrographs in the background; 0: none, the training waits "
            "for them",
            "processes",
            fixed=False,
        ),
    ] = 1
    memory: Annotated[float, Option("decoded images kept in memory", "GiB", fixed=False)] = 4.0
    checkpoint_minutes: Annotated[
        float, Option("time between checkpoints", "minutes", fixed=False)
    ] = 10.0

    def __post_init__(self) -> None:
        counts = (self.pictures, self.batch, self.synthetic, self.steps, self.validate_every)
        validation = (self.validation_pictures, self.validation_synthetic)
        rates = (self.warmup, self.weight_decay, self.contrast, self.brightness, self.noise)
        self.require(
            {
                "pictures, batch, synthetic, steps, validate_every, validation_pictures and "
                "validation_synthetic must be 1 or more": min(*counts, *validation) >= 1,
                "batch must not be larger than pictures": self.batch <= self.pictures,
                f"view_tokens must be a multiple of {_COARSEST} above 0": (
                    self.view_tokens > 0 and self.view_tokens % _COARSEST == 0
                ),
                "magnification must be two positive factors, the smaller first": (
                    len(self.magnification) == 2
                    and 0 < self.magnification[0] <= self.magnification[1]
                ),
                "learning_rate, clip and memory must be above 0": (
                    min(self.learning_rate, self.clip, self.memory) > 0
                ),
                "held_out must be in (0, 1) and ema in [0, 1)": (
                    0 < self.held_out < 1 and 0 <= self.ema < 1
                ),
                "warmup, weight_decay, contrast, brightness, noise, threads and workers must not "
                "be negative": min(*rates, self.threads, self.workers) >= 0,
                "precision must be auto, float32 or bfloat16": (
                    self.precision is not Precision.FLOAT16
                ),
                f"seed must be from 0 to {LARGEST_SEED}": 0 <= self.seed <= LARGEST_SEED,
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

    def from_anywhere(self) -> FilterConfig:
        """Return the options with absolute paths, as a run needs that goes on from elsewhere."""
        return replace(
            self,
            images=tuple(map(os.path.abspath, self.images)),
            model=absolute_model(self.model),
            init=self.init and os.path.abspath(self.init),
            sources=self.sources and os.path.abspath(self.sources),
        )

    def without_folders(self) -> FilterConfig:
        """Return the options with the names of files and folders alone, as they are passed on."""
        return replace(
            self,
            images=tuple(os.path.basename(os.path.normpath(path)) for path in self.images),
            model=model_without_folder(self.model),
            init=os.path.basename(self.init),
            sources=os.path.basename(self.sources),
        )
