"""Every option of a run that distils a model: it makes ``--help`` and is saved with the run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from napari_alibi_seg.core.model.geometry import Distance, Geometry, Slopes
from napari_alibi_seg.finetune.options import ConfigError, Option
from napari_alibi_seg.finetune.run_config import RunConfig

if TYPE_CHECKING:
    from collections.abc import Mapping


class Target(StrEnum):
    """What the student is to reproduce of the teacher's normalised patch tokens."""

    CENTRED = "centred"
    PLAIN = "plain"
    BLANKED = "blanked"


@dataclass(frozen=True)
class FinetuneConfig(RunConfig):
    """Every option of a run; each says for itself what it means."""

    MODELS: ClassVar[tuple[str, ...]] = ("teacher", "init")

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
    grey: Annotated[float, Option("share of colour crops turned grey", "0 to 1")] = 0.5
    brightness: Annotated[float, Option("largest shift of brightness", "of the range")] = 0.1
    contrast: Annotated[float, Option("largest relative change of contrast and of gamma")] = 0.25
    noise: Annotated[float, Option("largest deviation of added noise", "of the range")] = 0.04
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
    equivariance: Annotated[
        float, Option("weight of agreement between a crop and its rolled, flipped, turned copy")
    ] = 0.0
    consistency: Annotated[
        float, Option("weight of agreement between a crop's middle and the middle seen alone")
    ] = 0.0
    validation_crops: Annotated[int, Option("size of the validation set", "crops")] = 48
    licence: Annotated[
        str, Option("licence of the teacher's weights, which the student inherits")
    ] = "Apache-2.0"

    def __post_init__(self) -> None:
        checks = {
            "crop_sizes and crop_shares must be of one length, not empty, the shares positive": (
                len(self.crop_sizes) == len(self.crop_shares) > 0 and min(self.crop_shares) > 0
            ),
            "batch_tokens and accumulate must be 1 or more, target_crops and validation_crops 2 or "
            "more": (
                min(self.batch_tokens, self.accumulate) >= 1
                and min(self.target_crops, self.validation_crops) >= 2
            ),
            "grey must be in [0, 1]": 0 <= self.grey <= 1,
            "slope_rate, matrix_rate, equivariance, consistency, brightness, contrast and noise "
            "must not be negative, contrast below 1": (
                min(self.slope_rate, self.matrix_rate, self.equivariance, self.consistency) >= 0
                and min(self.brightness, self.contrast, self.noise) >= 0
                and self.contrast < 1
            ),
        }
        self.require(checks)

    @property
    def geometry(self) -> Geometry:
        """The student's ALiBi geometry."""
        return Geometry(self.distance, self.wrap, self.normalise, self.slopes, self.slope)

    def changed(self, values: Mapping[str, Any]) -> Self:
        """Return the options with some other values; another number of sizes gets equal shares."""
        sizes = values.get("crop_sizes", self.crop_sizes)
        if len(sizes) != len(self.crop_shares):
            values = {"crop_shares": (1.0,) * len(sizes), **values}
        return super().changed(values)

    @classmethod
    def of_this_version(cls, loaded: dict[str, Any]) -> dict[str, Any]:
        """Return saved options by their present names."""
        if loaded.pop("views", 1) != 1:
            raise ConfigError(
                "The run used --views, which --turned has replaced; start a new run with "
                "--turned, and with --init from its student."
            )
        return loaded
