"""A run that trains the learned filters, from the first checks to the model card."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from tqdm import tqdm

from napari_alibi_seg.core.channels.learned_filters import WEIGHTS
from napari_alibi_seg.core.devices import choose_device
from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.features.extraction import usual_layer
from napari_alibi_seg.core.model.debiasing import load_model
from napari_alibi_seg.core.writing import replacing
from napari_alibi_seg.finetune.card import CARD_FILE, card_of
from napari_alibi_seg.finetune.crops import Crops, Stream
from napari_alibi_seg.finetune.data import read_corpus
from napari_alibi_seg.finetune.filter_training import FilterState, FilterTrainer
from napari_alibi_seg.finetune.filter_validation import FilterScores, FilterValidation
from napari_alibi_seg.finetune.optimisation import TrainingError
from napari_alibi_seg.finetune.options import CONFIG_FILE
from napari_alibi_seg.finetune.session import (
    BAR,
    CHECKPOINT,
    TrainingOutcome,
    check_folder,
    notes,
    only_run,
    stop_wish,
)
from napari_alibi_seg.finetune.token_views import MAGNIFIED, Teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.core.model.debiasing import TokenModel
    from napari_alibi_seg.finetune.data import Corpus, Picture
    from napari_alibi_seg.finetune.filter_config import FilterConfig
    from napari_alibi_seg.finetune.filter_training import FilterReport
    from napari_alibi_seg.finetune.token_views import TokenViews

LOG = logging.getLogger(__name__)

_VIEWS = "views"


def train_filters(config: FilterConfig, output: Path, resume: bool) -> TrainingOutcome:
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
    corpus = read_corpus(sources, config.of_pictures, partial(tqdm, desc="images", **BAR))
    made_from = f"{identity.weights} {corpus.digest()}"
    with only_run(output):
        with replacing(output / CONFIG_FILE) as aside:
            aside.write_text(config.to_json() + "\n", encoding="utf-8")
        training, held_out = _views(config, corpus, model, output / _VIEWS, made_from)
        state = FilterState.start(config, training.tokens.shape[-1], device)
        if (output / CHECKPOINT).exists():
            state.load(output / CHECKPOINT, made_from)
        elif config.init:
            state.begin_from(Path(config.init))
        trainer = FilterTrainer(config, training, state)
        validation = FilterValidation(held_out, config)
        return FilterSession(output, trainer, validation, corpus, identity, made_from).run()


class FilterSession:
    """Runs a trainer and writes its logs, checkpoints, weights and model card.

    Parameters
    ----------
    output : Path
        The run's folder.
    trainer : FilterTrainer
        Trainer with its initial or restored state.
    validation : FilterValidation
        Validation on held-out data.
    corpus : Corpus
        Training and validation pictures.
    identity : BackboneIdentity
        Identity of the teacher, whose tokens are predicted.
    made_from : str
        Identifies model and pictures; stored in checkpoints, which must match on resuming.
    """

    def __init__(
        self,
        output: Path,
        trainer: FilterTrainer,
        validation: FilterValidation,
        corpus: Corpus,
        identity: BackboneIdentity,
        made_from: str,
    ) -> None:
        self._output = output
        self._trainer = trainer
        self._validation = validation
        self._corpus = corpus
        self._identity = identity
        self._made_from = made_from
        self._scores: FilterScores | None = None

    def run(self) -> TrainingOutcome:
        """Train until the schedule is complete or a signal asks to stop; write all files."""
        state, config = self._trainer.state, self._trainer.config
        with stop_wish() as stop:
            with self._notes() as note:
                for report in self._steps():
                    note(report)
                    if stop.is_set():
                        break
            self.save()
        return TrainingOutcome(self._output / WEIGHTS, state.step, config.steps, self._scores)

    def save(self) -> None:
        """Write the checkpoint, the averaged filters and their card."""
        state = self._trainer.state
        state.save(self._output / CHECKPOINT, self._made_from)
        filters = {
            name: value.detach().to("cpu", torch.float16).contiguous()
            for name, value in state.mean.filters.state_dict().items()
        }
        stored = save(filters, metadata={"step": str(state.step)})
        card = json.dumps(self._card(stored), indent=1) + "\n"
        for name, content in ((WEIGHTS, stored), (CARD_FILE, card.encode())):
            with replacing(self._output / name) as aside:
                aside.write_bytes(content)

    def _card(self, stored: bytes) -> dict[str, Any]:
        config, step = self._trainer.config, self._trainer.state.step
        made = {
            "filters": {"file": WEIGHTS, "sha256": hashlib.sha256(stored).hexdigest()},
            "model": {
                "name": config.without_folders().model,
                "architecture": self._identity.architecture,
                "weights": self._identity.weights,
            },
        }
        training = {
            "steps": step,
            "views": step * config.batch,
            "made_up": step * config.synthetic,
            "complete": step == config.steps,
        }
        return card_of(config, made, self._corpus, training, self._scores)

    @contextmanager
    def _notes(self) -> Iterator[Callable[[FilterReport], None]]:
        config, state = self._trainer.config, self._trainer.state

        def validate() -> FilterScores:
            self._scores = self._validation.score(state.mean)
            return self._scores

        shown = "accuracy={0.accuracy:.3f}"
        with notes(self._output, config, state, validate, self.save, shown) as (note, last):
            self._scores = FilterScores.of(last)
            yield note

    def _steps(self) -> Iterator[FilterReport]:
        try:
            yield from self._trainer.steps()
        except TrainingError as error:
            raise TrainingError(
                f"{error}; start a run in another --output with a lower --learning-rate or a "
                "longer --warmup."
            ) from error


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
    teacher = Teacher(model, side, folder, made_from, partial(tqdm, desc="tokens", **BAR))

    def cut(pictures: list[Picture], stream: Stream, count: int) -> TokenViews:
        crops = Crops(corpus, pictures, config.of_pictures, augmented=False)
        return teacher.views(crops, stream, count)

    training = cut(corpus.training, Stream.TRAINING, config.pictures)
    return training, cut(corpus.validation, Stream.VALIDATION, config.validation_pictures)
