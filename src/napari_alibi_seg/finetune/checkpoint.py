"""The checkpoint of a training run: weights, their moving average and the optimiser's moments.

No random state is saved, as every random choice is a function of the seed and the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.model.checkpoints import load_strictly, read_tensors
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn
    from torch.nn import Parameter

_MEAN, _ADAM = "mean.", "adam."


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds of a run besides its header.

    Attributes
    ----------
    prefix : str
        Prefix of the names of the tensors of `learning`.
    exported : str
        Name of the file that a run writes of what it has learnt.
    learning, mean : nn.Module
        The weights in training and their exponential moving average.
    optimiser : AdamW
        Optimiser of the parameters of `learning` that require a gradient.
    """

    prefix: str
    exported: str
    learning: nn.Module
    mean: nn.Module
    optimiser: torch.optim.AdamW

    def write(self, path: Path, made_from: str, **figures: str) -> None:
        """Write everything, with figures in the header, as safetensors.

        Parameters
        ----------
        path : Path
            The file.
        made_from : str
            What the run is made from, as digests; see `restore`.
        **figures : str
            Step and other state of the run.
        """
        tensors = {
            **{self.prefix + name: value for name, value in self.learning.state_dict().items()},
            **{_MEAN + name: value for name, value in self.mean.state_dict().items()},
            **self._moments(),
        }
        stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with replacing(path) as aside:
            aside.write_bytes(save(stored, metadata={"made_from": made_from, **figures}))

    def restore(self, path: Path, made_from: str) -> dict[str, str]:
        """Restore what `write` wrote, and return the figures.

        Raises
        ------
        ModelError
            If the file is damaged, of another architecture, or made from something else.
        """
        try:
            tensors, header = read_tensors(path)
        except ModelError as error:
            raise ModelError(
                f"{path} is damaged or cannot be read, so the run cannot go on; start a new one, "
                f"with --init from the {self.exported} of this one if that is there."
            ) from error
        if header.get("made_from") != made_from:
            raise ModelError(
                f"{path} was trained on other images, or with another model, than those given, or "
                "pixels have changed since; give the same ones, or start a new run in another "
                f"--output, with --init from the {self.exported} of this one to go on from that."
            )
        load_strictly(self.learning, _below(self.prefix, tensors), path)
        load_strictly(self.mean, _below(_MEAN, tensors), path)
        moments = _below(_ADAM, tensors)
        # There are no moments as long as a loss scaler has skipped every step.
        for name, parameter in self._parameters() if moments else ():
            self.optimiser.state[parameter] = {
                # A copy, as Windows replaces no file that a tensor is still mapped to.
                "step": moments[f"step.{name}"].to(parameter.device, copy=True),
                # In the parameter's memory layout, which the fused optimiser requires.
                **{
                    key: torch.empty_like(parameter, requires_grad=False).copy_(
                        moments[f"{key}.{name}"]
                    )
                    for key in ("exp_avg", "exp_avg_sq")
                },
            }
        return header

    def _moments(self) -> dict[str, Tensor]:
        return {
            f"{_ADAM}{key}.{name}": value
            for name, parameter in self._parameters()
            for key, value in self.optimiser.state[parameter].items()
        }

    def _parameters(self) -> list[tuple[str, Parameter]]:
        return [(name, p) for name, p in self.learning.named_parameters() if p.requires_grad]


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name begins with a prefix, which is removed."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
