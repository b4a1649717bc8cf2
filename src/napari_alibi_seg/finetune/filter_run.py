"""A run that trains the learned filters, from the first checks to the model card."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from napari_alibi_seg.core.channels.learned_filters import WEIGHTS
from napari_alibi_seg.core.devices import choose_device
from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.features.extraction import usual_layer
from napari_alibi_seg.core.model.debiasing import load_model
from napari_alibi_seg.core.model.fetch import sha256
from napari_alibi_seg.core.writing import replacing
from napari_alibi_seg.finetune.card import make_card, write_card
from napari_alibi_seg.finetune.crops import Crops, Stream
from napari_alibi_seg.finetune.data import read_corpus
from napari_alibi_seg.finetune.filter_training import FilterState, FilterTrainer
from napari_alibi_seg.finetune.filter_validation import FilterScores, FilterValidation
from napari_alibi_seg.finetune.processes import Processes
from napari_alibi_seg.finetune.run import (
    CHECKPOINT,
    Run,
    check_folder,
    only_run,
    progress,
    write_config,
)
from napari_alibi_seg.finetune.token_views import MAGNIFIED, Teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.core.model.debiasing import TokenModel
    from napari_alibi_seg.finetune.data import Corpus, Picture
    from napari_alibi_seg.finetune.filter_config import FilterConfig
    from napari_alibi_seg.finetune.filter_training import FilterReport
    from napari_alibi_seg.finetune.run import TrainingOutcome
    from napari_alibi_seg.finetune.token_views import TokenViews

LOG = logging.getLogger(__name__)

_VIEWS = "views"


def train_filters(config: FilterConfig, output: Path, resume: bool) -> TrainingOutcome | None:
    """Train filters in a folder, from the start or from the last checkpoint.

    Parameters
    ----------
    config : FilterConfig
        All options; `images` must not be empty.
    output : Path
        Receives ``learned-filters.safetensors`` (float16), ``card.json``, ``config.json``,
        ``checkpoint.safetensors`` (to resume), ``views/`` (the tokens) and the logs.
    resume : bool
        Continue the run in `output`; otherwise the folder must be new or empty.

    Raises
    ------
    AlibiSegError
        A subclass for images, model, config, output, device or a loss that is not finite.
    """
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    check_folder(output, config, resume)
    model, identity = _teacher(config, device)
    sources = [Path(image) for image in config.images]
    corpus = read_corpus(sources, config, progress("images"))
    made_from = f"{identity.weights} {corpus.digest()}"
    with only_run(output, config, resume):
        if not resume:  # the run can be resumed even before it has all tokens
            write_config(output, config)
        training, held_out = _views(config, corpus, model, output / _VIEWS, made_from)
        state = FilterState.start(config, training.tokens.shape[-1], device)
        if (output / CHECKPOINT).exists():
            state.load(output / CHECKPOINT, made_from)
        elif config.init:
            state.begin_from(Path(config.init))
        write_config(output, config)
        trainer, alone = FilterTrainer(config, training, state), Processes(0, 1, device)
        validation = FilterValidation(held_out, config)
        return FilterRun(output, trainer, alone, corpus, identity, made_from, validation).train()


@dataclass(eq=False)
class FilterRun(Run[FilterTrainer]):
    """Trains filters; the weights are those of the averaged filters.

    Attributes
    ----------
    validation : FilterValidation
        Validation on held-out data.
    """

    WEIGHTS = WEIGHTS
    SHOWN = "accuracy={0.accuracy:.3f}"
    SCORES = FilterScores

    validation: FilterValidation

    def steps(self, stop: Event) -> Iterator[FilterReport]:
        """Take steps until the schedule is complete or, after a step, `stop` is set."""
        for report in self.trainer.steps():
            yield report
            if stop.is_set():
                return

    def validator(self) -> Callable[[], FilterScores]:
        """Return the validation of the averaged filters."""
        return partial(self.validation.score, self.trainer.state.mean)

    def export(self) -> None:
        """Write the averaged filters in float16, and their card."""
        config, state, filters = self.trainer.config, self.trainer.state, self.output / WEIGHTS
        stored = {
            name: value.detach().to("cpu", torch.float16).contiguous()
            for name, value in state.mean.filters.state_dict().items()
        }
        with replacing(filters) as aside:
            aside.write_bytes(save(stored, metadata={"step": str(state.step)}))
        made = {
            "filters": {"file": filters.name, "sha256": sha256(filters)},
            "model": {
                "name": config.without_folders().model,
                "architecture": self.teacher.architecture,
                "weights": self.teacher.weights,
            },
        }
        training = {
            "steps": state.step,
            "views": state.step * config.batch,
            "made_up": state.step * config.synthetic,
            "complete": state.step == config.steps,
        }
        write_card(self.output, make_card(config, made, self.corpus, training, self.scores))


def _teacher(config: FilterConfig, device: torch.device) -> tuple[TokenModel, BackboneIdentity]:
    model, identity = load_model(config.model)
    if model.patch_size % MAGNIFIED:
        raise ModelError(
            f"The patches of {config.model} are {model.patch_size} px wide, which {MAGNIFIED} does "
            "not divide; give another --model."
        )
    LOG.info("tokens of %s after block %d", config.model, usual_layer(model.depth))
    return model.to(device), identity


def _views(
    config: FilterConfig, corpus: Corpus, model: TokenModel, folder: Path, made_from: str
) -> tuple[TokenViews, TokenViews]:
    """Return the views of the training pictures and those of the held-out pictures."""
    side = config.view_tokens * model.patch_size // MAGNIFIED
    teacher = Teacher(model, side, folder, made_from, progress("tokens"))

    def cut(pictures: list[Picture], stream: Stream, count: int) -> TokenViews:
        crops = Crops(corpus, pictures, config.seed, config.magnification, grey=1.0)
        return teacher.views(crops, stream, count)

    training = cut(corpus.training, Stream.TRAINING, config.pictures)
    return training, cut(corpus.validation, Stream.VALIDATION, config.validation_pictures)
