"""Options common to all training runs; importing this module does not import torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from napari_alibi_seg.core.choices import LARGEST_SEED
from napari_alibi_seg.core.model.names import absolute_model, model_without_folder
from napari_alibi_seg.finetune.options import Option, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Precision(StrEnum):
    """Number format of the forward and backward pass."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class RunConfig(Options):
    """Options common to all training runs; the `Option` of each field describes it."""

    MODELS: ClassVar[tuple[str, ...]] = ("init",)
    """Names of the options that hold a model name or a weights file."""
    KEPT: ClassVar[str] = ""
    """What a run interrupted before its first step keeps, as part of a message; may be empty."""

    images: Annotated[
        tuple[str, ...], Option("image files, and folders to search through", fixed=False)
    ] = ()
    init: Annotated[str, Option("weights of an earlier run that initialise this one")] = ""
    magnification: Annotated[
        tuple[float, ...], Option("smallest and largest magnification before cropping", "times")
    ] = (0.5, 2.0)
    steps: Annotated[int, Option("length of the whole schedule", "optimiser steps")] = 5000
    learning_rate: Annotated[float, Option("peak learning rate, after the warm-up")] = 1e-3
    warmup: Annotated[
        int, Option("linear warm-up, before a cosine decay to zero", "optimiser steps")
    ] = 100
    weight_decay: Annotated[float, Option("AdamW weight decay of the matrices")] = 0.02
    clip: Annotated[float, Option("norm to which gradients are clipped")] = 1.0
    ema: Annotated[
        float, Option("decay per step of the moving average of the weights, which is exported")
    ] = 0.999
    held_out: Annotated[
        float, Option("share of images for validation, chosen by a hash of their name", "0 to 1")
    ] = 0.05
    validate_every: Annotated[int, Option("steps between validations", "optimiser steps")] = 500
    licence: Annotated[str, Option("licence of the weights, for the card")] = "Apache-2.0"
    sources: Annotated[
        str,
        Option(
            "text file that names the sources and licences of the images, for the card", fixed=False
        ),
    ] = ""
    seed: Annotated[int, Option("seed of all random numbers")] = 0
    device: Annotated[str, Option("auto, cpu, cuda, cuda:N or mps", fixed=False)] = "auto"
    precision: Annotated[
        Precision,
        Option("number format; auto: half precision on suitable devices, else float32"),
    ] = Precision.AUTO
    threads: Annotated[int, Option("CPU threads; 0: torch decides", fixed=False)] = 0
    memory: Annotated[float, Option("memory for decoded images", "GiB", fixed=False)] = 4.0
    checkpoint_minutes: Annotated[
        float, Option("time between checkpoints", "minutes", fixed=False)
    ] = 10.0

    def require(self, checks: Mapping[str, bool]) -> None:
        """Raise an error unless the given rules and those common to all runs hold.

        Raises
        ------
        ConfigError
            If a rule does not hold; the message names the first one.
        """
        of_any_run = {
            "magnification must be two positive factors, the smaller first": (
                len(self.magnification) == 2 and 0 < self.magnification[0] <= self.magnification[1]
            ),
            "steps and validate_every must be 1 or more": min(self.steps, self.validate_every) >= 1,
            "learning_rate, clip and memory must be above 0": (
                min(self.learning_rate, self.clip, self.memory) > 0
            ),
            "held_out must be in (0, 1) and ema in [0, 1)": (
                0 < self.held_out < 1 and 0 <= self.ema < 1
            ),
            "warmup, weight_decay and threads must not be negative": (
                min(self.warmup, self.weight_decay, self.threads) >= 0
            ),
            f"seed must be from 0 to {LARGEST_SEED}": 0 <= self.seed <= LARGEST_SEED,
        }
        super().require({**checks, **of_any_run})

    def changed(self, values: Mapping[str, Any]) -> Self:
        """Return a copy with some values replaced."""
        return replace(self, **values)

    def from_anywhere(self) -> Self:
        """Return a copy with absolute paths, so that the run can be resumed from any folder."""
        return replace(
            self,
            images=tuple(map(os.path.abspath, self.images)),
            sources=self.sources and os.path.abspath(self.sources),
            **self._models(absolute_model),
        )

    def without_folders(self) -> Self:
        """Return a copy with paths reduced to file and folder names, for publication."""
        return replace(
            self,
            images=tuple(os.path.basename(os.path.normpath(path)) for path in self.images),
            sources=os.path.basename(self.sources),
            **self._models(model_without_folder),
        )

    def _models(self, change: Callable[[str], str]) -> dict[str, Any]:
        return {name: change(getattr(self, name)) for name in self.MODELS}
