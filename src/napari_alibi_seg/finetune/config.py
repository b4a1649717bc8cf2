"""Options of a distillation run; they define the command line and are saved with the run."""

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
    """Distillation target computed from the teacher's layer-normalised patch tokens."""

    CENTRED = "centred"
    PLAIN = "plain"
    BLANKED = "blanked"


@dataclass(frozen=True)
class FinetuneConfig(RunConfig):
    """Options of a distillation run; the `Option` of each field describes it."""

    MODELS: ClassVar[tuple[str, ...]] = ("teacher", "init")

    teacher: Annotated[
        str, Option("frozen teacher model: timm:<id> from the hub, or timm:<id>:<file>")
    ] = "timm:vit_small_patch14_dinov2"
    init: Annotated[
        str,
        Option(
            "checkpoint that initialises the student; none: the teacher, with its position "
            "embedding folded into other weights"
        ),
    ] = ""
    distance: Annotated[Distance, Option("distance metric on the patch grid")] = Distance.EUCLIDEAN
    wrap: Annotated[bool, Option("whether the patch grid wraps around at its borders")] = False
    normalise: Annotated[
        bool, Option("whether distances are divided by the largest one on the grid")
    ] = False
    slopes: Annotated[
        Slopes, Option("where the slopes come from; learned slopes are kept at 0 or above")
    ] = Slopes.LEARNED
    slope: Annotated[float, Option("(initial) slope of the attention bias", "logits per token")] = (
        0.0884
    )
    target: Annotated[
        Target,
        Option(
            "distillation target: teacher tokens without their mean deviation at each grid "
            "position (centred), unchanged (plain), or with all channels set to 0 that predict "
            "position in held out crops (blanked)"
        ),
    ] = Target.CENTRED
    inner_blocks: Annotated[
        tuple[int, ...],
        Option("blocks whose tokens are distilled in addition to the last; the first is 1"),
    ] = ()
    turned: Annotated[
        bool,
        Option(
            "whether the teacher sees every batch randomly rotated and mirrored, so that effects "
            "of image orientation on its tokens average out"
        ),
    ] = False
    clean: Annotated[
        bool,
        Option(
            "whether the teacher sees crops without brightness, contrast and noise augmentation, "
            "to which the student then learns to be invariant"
        ),
    ] = False
    target_crops: Annotated[
        int, Option("crops per size for estimating how position affects the tokens", "crops")
    ] = 256
    blank_above: Annotated[
        float, Option("R^2 of position in held out crops above which a channel is blanked")
    ] = 0.3
    crop_sizes: Annotated[
        tuple[int, ...], Option("sides of the square crops; each step uses one of them", "px")
    ] = (112, 168, 224, 336, 392)
    crop_shares: Annotated[
        tuple[float, ...],
        Option(
            "relative frequency of each crop size, in the same order; equal if only --crop-sizes "
            "is given and the number of sizes differs"
        ),
    ] = (0.2, 0.25, 0.25, 0.1, 0.2)
    grey: Annotated[float, Option("probability of converting a crop to grey", "0 to 1")] = 0.5
    brightness: Annotated[float, Option("largest brightness shift", "of the range")] = 0.1
    contrast: Annotated[float, Option("largest relative change of contrast and gamma")] = 0.25
    noise: Annotated[float, Option("largest standard deviation of the noise", "of the range")] = (
        0.04
    )
    batch_tokens: Annotated[
        int, Option("batch size over all processes, at least one crop for each", "tokens")
    ] = 1024
    accumulate: Annotated[
        int, Option("batches per optimiser step (gradient accumulation)", "batches")
    ] = 1
    learning_rate: Annotated[
        float, Option("peak learning rate of biases, gains and tokens, after the warm-up")
    ] = 3e-4
    slope_rate: Annotated[
        float, Option("learning rate of learned slopes, relative to the others", "times")
    ] = 16.0
    matrix_rate: Annotated[
        float, Option("relative learning rate of the weight matrices; 0 freezes them", "times")
    ] = 0.0
    equivariance: Annotated[
        float, Option("weight of the loss between a crop and its rolled, flipped, rotated copy")
    ] = 0.0
    consistency: Annotated[
        float, Option("weight of the loss between a crop's centre and that centre on its own")
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
        """Return a copy with some values replaced; a new number of sizes gets equal shares."""
        sizes = values.get("crop_sizes", self.crop_sizes)
        if len(sizes) != len(self.crop_shares):
            values = {"crop_shares": (1.0,) * len(sizes), **values}
        return super().changed(values)

    @classmethod
    def of_this_version(cls, loaded: dict[str, Any]) -> dict[str, Any]:
        """Convert options saved by an earlier version.

        Raises
        ------
        ConfigError
            If they use the removed option ``views``.
        """
        if loaded.pop("views", 1) != 1:
            raise ConfigError(
                "The run used --views, which --turned has replaced; start a new run with "
                "--turned, and with --init from its student."
            )
        return loaded
