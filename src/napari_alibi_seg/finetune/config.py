"""One typed record of every option of a run: it makes ``--help`` and is saved with the run."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

from napari_alibi_seg.core.choices import LARGEST_SEED
from napari_alibi_seg.core.geometry import Distance, Geometry, Slopes
from napari_alibi_seg.core.models import absolute_model, model_without_folder
from napari_alibi_seg.finetune.options import ConfigError, Option, Options


class Target(StrEnum):
    """What the student is to reproduce of the teacher's normalised patch tokens."""

    CENTRED = "centred"
    PLAIN = "plain"
    BLANKED = "blanked"


class Precision(StrEnum):
    """Number format of the forward and backward pass."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class FinetuneConfig(Options):
    """Every option of a run; each says for itself what it means."""

    images: Annotated[
        tuple[str, ...], Option("image files, and folders to search through", fixed=False)
    ] = ()
    teacher: Annotated[
        str, Option("frozen model to imitate: timm:<id> from the hub, or timm:<id>:<file>")
    ] = "timm:vit_small_patch14_dinov2"
    init: Annotated[
        str, Option("checkpoint the student starts from; none: the teacher, positions folded")
    ] = ""
    distance: Annotated[Distance, Option("metric on the patch grid")] = Distance.EUCLIDEAN
    wrap: Annotated[bool, Option("whether opposite borders of the grid are neighbours")] = False
    normalise: Annotated[
        bool, Option("whether distances are divided by the largest of the grid")
    ] = False
    slopes: Annotated[
        Slopes, Option("where the factor of the distance comes from; learned ones are 0 or more")
    ] = Slopes.LEARNED
    slope: Annotated[float, Option("attention bias per distance", "logits per token")] = 0.0884
    target: Annotated[
        Target,
        Option(
            "teacher tokens minus their mean per grid position (centred), as they are (plain), "
            "or without the channels that predict position in images left out (blanked)"
        ),
    ] = Target.CENTRED
    inner_blocks: Annotated[
        tuple[int, ...],
        Option("blocks that are to be reproduced, too, beside the last; the first is 1"),
    ] = ()
    turned: Annotated[
        bool,
        Option(
            "whether the teacher sees every batch turned and mirrored at random, so that what it "
            "says only because of how an image lies averages out"
        ),
    ] = False
    clean: Annotated[
        bool,
        Option(
            "whether the teacher sees crops without the changes of grey values below, which the "
            "student then learns to ignore"
        ),
    ] = False
    target_crops: Annotated[
        int, Option("crops of each size that show what position adds to the target", "crops")
    ] = 256
    blank_above: Annotated[
        float, Option("R^2 of position in images left out above which a channel is blanked")
    ] = 0.3
    crop_sizes: Annotated[
        tuple[int, ...], Option("sides of the square crops; a batch has one of them", "px")
    ] = (112, 168, 224, 336, 392)
    crop_shares: Annotated[
        tuple[float, ...],
        Option(
            "relative number of batches of each crop size, in their order; equal ones where only "
            "--crop-sizes is given, and another number of them"
        ),
    ] = (0.2, 0.25, 0.25, 0.1, 0.2)
    magnification: Annotated[
        tuple[float, ...], Option("smallest and largest magnification before cropping", "times")
    ] = (0.5, 2.0)
    grey: Annotated[float, Option("share of colour crops turned grey", "0 to 1")] = 0.5
    brightness: Annotated[float, Option("largest shift of brightness", "of the range")] = 0.1
    contrast: Annotated[float, Option("largest relative change of contrast and of gamma")] = 0.25
    noise: Annotated[float, Option("largest deviation of added noise", "of the range")] = 0.04
    steps: Annotated[int, Option("length of the whole schedule", "optimiser steps")] = 5000
    batch_tokens: Annotated[
        int, Option("size of a batch over all processes, each of which gets a crop", "tokens")
    ] = 1024
    accumulate: Annotated[int, Option("batches whose gradients make one step", "batches")] = 1
    learning_rate: Annotated[
        float, Option("highest learning rate of biases, gains and tokens, after the warm-up")
    ] = 3e-4
    slope_rate: Annotated[
        float, Option("learning rate of learned slopes, relative to that", "times")
    ] = 16.0
    matrix_rate: Annotated[
        float, Option("the same of the blocks' weight matrices; 0 freezes them", "times")
    ] = 0.0
    warmup: Annotated[
        int, Option("linear warm-up, before a cosine decay to zero", "optimiser steps")
    ] = 100
    weight_decay: Annotated[float, Option("AdamW weight decay of the matrices")] = 0.02
    clip: Annotated[float, Option("largest norm of the gradient")] = 1.0
    ema: Annotated[float, Option("decay per step of the weights' mean that is exported")] = 0.999
    equivariance: Annotated[
        float, Option("weight of agreement between a crop and its rolled, flipped, turned copy")
    ] = 0.0
    consistency: Annotated[
        float, Option("weight of agreement between a crop's middle and the middle seen alone")
    ] = 0.0
    held_out: Annotated[
        float, Option("share of images kept for validation, by hash of their name", "0 to 1")
    ] = 0.05
    validation_crops: Annotated[int, Option("size of the validation set", "crops")] = 48
    validate_every: Annotated[int, Option("time between validations", "optimiser steps")] = 500
    licence: Annotated[
        str, Option("licence of the teacher's weights, which the student inherits")
    ] = "Apache-2.0"
    sources: Annotated[
        str,
        Option(
            "text file that names the sources and licences of the images, for the card", fixed=False
        ),
    ] = ""
    seed: Annotated[int, Option("seed of every random choice")] = 0
    device: Annotated[str, Option("auto, cpu, cuda, cuda:N or mps", fixed=False)] = "auto"
    precision: Annotated[
        Precision, Option("number format; auto: half precision on CUDA, else float32")
    ] = Precision.AUTO
    threads: Annotated[int, Option("CPU threads; 0: torch decides", fixed=False)] = 0
    memory: Annotated[float, Option("decoded images kept in memory", "GiB", fixed=False)] = 4.0
    checkpoint_minutes: Annotated[
        float, Option("time between checkpoints", "minutes", fixed=False)
    ] = 10.0

    def __post_init__(self) -> None:
        checks = {
            "crop_sizes and crop_shares must be of one length, not empty, the shares positive": (
                len(self.crop_sizes) == len(self.crop_shares) > 0 and min(self.crop_shares) > 0
            ),
            "magnification must be two positive factors, the smaller first": (
                len(self.magnification) == 2 and 0 < self.magnification[0] <= self.magnification[1]
            ),
            "steps, batch_tokens, accumulate and validate_every must be 1 or more, target_crops "
            "and validation_crops 2 or more": (
                min(self.steps, self.batch_tokens, self.accumulate, self.validate_every) >= 1
                and min(self.target_crops, self.validation_crops) >= 2
            ),
            "learning_rate, clip and memory must be above 0": (
                min(self.learning_rate, self.clip, self.memory) > 0
            ),
            "grey must be in [0, 1], held_out in (0, 1) and ema in [0, 1)": (
                0 <= self.grey <= 1 and 0 < self.held_out < 1 and 0 <= self.ema < 1
            ),
            "warmup, weight_decay, slope_rate, matrix_rate, equivariance, consistency, brightness, "
            "contrast and noise must not be negative, contrast below 1": (
                min(self.warmup, self.weight_decay, self.equivariance, self.consistency) >= 0
                and min(self.slope_rate, self.matrix_rate) >= 0
                and min(self.brightness, self.contrast, self.noise) >= 0
                and self.contrast < 1
            ),
            f"seed must be from 0 to {LARGEST_SEED}": 0 <= self.seed <= LARGEST_SEED,
        }
        self.require(checks)

    @property
    def geometry(self) -> Geometry:
        """The student's ALiBi geometry."""
        return Geometry(self.distance, self.wrap, self.normalise, self.slopes, self.slope)

    def from_anywhere(self) -> FinetuneConfig:
        """Return the options with absolute paths, as a run needs that goes on from elsewhere."""
        return replace(
            self,
            images=tuple(map(os.path.abspath, self.images)),
            teacher=absolute_model(self.teacher),
            init=absolute_model(self.init),
            sources=self.sources and os.path.abspath(self.sources),
        )

    def without_folders(self) -> FinetuneConfig:
        """Return the options with the names of files and folders alone, as they are passed on."""
        return replace(
            self,
            images=tuple(os.path.basename(os.path.normpath(path)) for path in self.images),
            teacher=model_without_folder(self.teacher),
            init=model_without_folder(self.init),
            sources=os.path.basename(self.sources),
        )

    @classmethod
    def of_this_version(cls, loaded: dict[str, Any]) -> dict[str, Any]:
        """Return saved options by their present names."""
        if loaded.pop("views", 1) != 1:
            raise ConfigError(
                "The run used --views, which --turned has replaced; start a new run with "
                "--turned, and with --init from its student."
            )
        return loaded
