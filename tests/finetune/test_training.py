"""The schedule, the moved copies, the options, and a step that must not be taken."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest
import torch

from napari_alibi_seg.core.model.checkpoints import load_backbone, save_backbone
from napari_alibi_seg.core.model.geometry import Geometry, Slopes
from napari_alibi_seg.finetune.__main__ import COMMAND
from napari_alibi_seg.finetune.config import FinetuneConfig, Target
from napari_alibi_seg.finetune.crops import Crops
from napari_alibi_seg.finetune.data import read_corpus
from napari_alibi_seg.finetune.motions import Motion, random_motion
from napari_alibi_seg.finetune.optimisation import TrainingError, learning_rate
from napari_alibi_seg.finetune.processes import Processes
from napari_alibi_seg.finetune.run_config import Precision
from napari_alibi_seg.finetune.state import start
from napari_alibi_seg.finetune.targets import Imitated, TargetTable
from napari_alibi_seg.finetune.training import Distillation, Trainer

if TYPE_CHECKING:
    from napari_alibi_seg.core.model.backbone import Backbone

CONFIG = FinetuneConfig(
    crop_sizes=(64,), crop_shares=(1.0,), batch_tokens=32, steps=3, warmup=0, learning_rate=1e-3
)


@pytest.fixture
def make_trainer(teacher_name: str, images: Path):
    def make(config: FinetuneConfig) -> Trainer:
        teacher, identity = load_backbone(teacher_name)
        imitated = Imitated(teacher, config.inner_blocks)
        corpus = read_corpus([images], config)
        return Trainer(
            config,
            Processes(0, 1, torch.device("cpu")),
            imitated,
            TargetTable({}, torch.ones(imitated.channels)),
            Crops.of(config, corpus, corpus.training),
            start(config, teacher, identity),
        )

    return make


def copied(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.state.student.state_dict().items()}


def test_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    config = replace(CONFIG, steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 1e-3


def test_loss_of_no_number_leaves_the_weights(make_trainer) -> None:
    trainer = make_trainer(CONFIG)
    trainer.table.kept.fill_(torch.nan)
    before = copied(trainer)

    with pytest.raises(TrainingError, match="not finite in step 1"):
        list(trainer.steps(Event()))

    for name, value in copied(trainer).items():
        assert torch.equal(value, before[name]), name
    assert trainer.state.step == 0


def test_no_crops_are_made_for_a_step_that_never_comes(make_trainer, monkeypatch) -> None:
    trainer, made, make = make_trainer(CONFIG), [], Trainer.portions
    monkeypatch.setattr(Trainer, "portions", lambda self, n: made.append(n) or make(self, n))
    list(trainer.steps(Event()))
    assert made == [0, 1, 2]
    assert not list(trainer.steps(Event()))
    assert made == [0, 1, 2]


def test_matrices_learn_only_when_asked(make_trainer) -> None:
    for rate in (0.0, 0.1):
        trainer = make_trainer(replace(CONFIG, matrix_rate=rate))
        before = copied(trainer)
        list(trainer.steps(Event()))
        moved = {name for name, value in copied(trainer).items() if not value.equal(before[name])}
        matrices = {name for name in moved if before[name].ndim == 2}
        assert bool(matrices) is bool(rate)
        assert any(name.endswith("attn.m") for name in moved)
        assert "patch_embed.proj.weight" not in moved


def slopes_of(backbone: Backbone) -> torch.Tensor:
    return torch.cat([block.attn.m.flatten() for block in backbone.vit.blocks])


def test_learned_slopes_never_make_a_head_look_at_the_far_end(make_trainer) -> None:
    trainer = make_trainer(replace(CONFIG, slope_rate=1e3))
    list(trainer.steps(Event()))
    for backbone in (trainer.state.student, trainer.state.mean):
        assert (slopes_of(backbone) >= 0).all()
    assert (slopes_of(trainer.state.student) == 0).any()


def test_negative_slopes_to_start_from_are_set_to_0(make_trainer, tmp_path: Path) -> None:
    trainer = make_trainer(CONFIG)
    with torch.no_grad():
        trainer.state.student.vit.blocks[0].attn.m.fill_(-0.1)
    file = tmp_path / "student.safetensors"
    save_backbone(trainer.state.student, "test_vit", file)
    begun = make_trainer(replace(CONFIG, init=str(file))).state
    for backbone in (begun.student, begun.mean):
        assert not slopes_of(backbone)[: backbone.heads].any()
        assert slopes_of(backbone)[backbone.heads :].all()


def test_mean_lags_behind_the_student(make_trainer) -> None:
    trainer = make_trainer(CONFIG)
    start_weight, *_ = (p.clone() for p in trainer.state.mean.vit.blocks.parameters())
    list(trainer.steps(Event()))
    mean = next(trainer.state.mean.vit.blocks.parameters())
    student = next(trainer.state.student.vit.blocks.parameters())
    assert 0 < (mean - start_weight).norm() < (student - start_weight).norm()


def test_equivariance_adds_to_the_loss(make_trainer) -> None:
    alone, *_ = make_trainer(CONFIG).steps(Event())
    both, *_ = make_trainer(replace(CONFIG, equivariance=1e3)).steps(Event())
    assert both.loss > alone.loss + 1e-3


def test_consistency_adds_what_the_surroundings_of_a_middle_change(make_trainer) -> None:
    images = torch.rand(2, 3, 64, 64)
    losses = []
    for consistency in (0.0, 1.0):
        student = make_trainer(CONFIG).state.student
        loss = Distillation(Imitated(student, ()), 0.0, consistency)
        with torch.no_grad():
            losses.append(loss(images, student(images), Motion((0, 0), False, 0)))
            middle = 1 - torch.cosine_similarity(
                student(images)[:, 1:-1, 1:-1], student(images[..., 16:-16, 16:-16]), dim=-1
            )
    torch.testing.assert_close(losses[0], torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(losses[1], middle.mean(dim=(1, 2)), atol=1e-5, rtol=0)
    assert (losses[1] > 1e-4).all()


def test_inner_blocks_are_imitated_beside_the_last(make_trainer) -> None:
    trainer = make_trainer(replace(CONFIG, inner_blocks=(1,)))
    images = torch.rand(2, 3, 64, 64)
    teacher = trainer.teacher.backbone
    with torch.no_grad():
        targets = trainer.targets(images)
        expected = [teacher(images, layer=1), teacher(images)]
    torch.testing.assert_close(targets, torch.cat(expected, dim=-1))
    last, *_ = make_trainer(CONFIG).steps(Event())
    both, *_ = trainer.steps(Event())
    assert both.loss != last.loss


def test_half_precision_stays_near_full_precision(make_trainer) -> None:
    full, *_ = make_trainer(CONFIG).steps(Event())
    half, *_ = make_trainer(replace(CONFIG, precision=Precision.BFLOAT16)).steps(Event())
    assert half.loss == pytest.approx(full.loss, rel=0.05)
    assert half.loss != full.loss


@pytest.mark.parametrize("done", [1, 6])
def test_a_resumed_run_in_float16_goes_on_with_the_scale_it_had(
    make_trainer, tmp_path: Path, done: int
) -> None:
    config = replace(CONFIG, precision=Precision.FLOAT16, steps=8)
    whole, first, second = (make_trainer(config) for _ in range(3))
    for trainer in (whole, first):
        trainer.state.scaler.load_state_dict(
            {**trainer.state.scaler.state_dict(), "scale": 2.0**40, "growth_interval": 3}
        )
    for _ in islice(first.steps(Event()), done):
        pass
    first.state.save(tmp_path / "c.safetensors", "corpus")
    second.state.load(tmp_path / "c.safetensors", "corpus")
    assert second.state.scaler.state_dict() == first.state.scaler.state_dict()

    list(second.steps(Event()))
    list(whole.steps(Event()))

    assert second.state.scaler.state_dict() == whole.state.scaler.state_dict()
    for name, value in copied(whole).items():
        assert torch.equal(value, copied(second)[name]), name


def test_a_checkpoint_without_a_scale_is_gone_on_with_in_float16(
    make_trainer, tmp_path: Path
) -> None:
    plain, half = make_trainer(CONFIG), make_trainer(replace(CONFIG, precision=Precision.FLOAT16))
    list(plain.steps(Event()))
    plain.state.save(tmp_path / "c.safetensors", "corpus")
    before = half.state.scaler.state_dict()
    half.state.load(tmp_path / "c.safetensors", "corpus")
    assert half.state.scaler.state_dict() == before
    assert half.state.step == plain.state.step


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
def test_a_checkpoint_that_was_read_can_be_replaced_on_windows(
    make_trainer, tmp_path: Path
) -> None:
    """Which refuses to replace a file as long as a tensor is mapped to it."""
    first, second = make_trainer(CONFIG), make_trainer(CONFIG)
    list(first.steps(Event()))
    first.state.save(tmp_path / "c.safetensors", "corpus")
    second.state.load(tmp_path / "c.safetensors", "corpus")
    gc.collect()
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_tokens_of_a_patchwise_model_follow_every_motion() -> None:
    images = torch.rand(2, 3, 64, 64)

    def tokens(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pixels, 16).permute(0, 2, 3, 1)  # (B, h, w, 3)

    motions = {random_motion(0, (step,), 4) for step in range(20)}
    assert len(motions) > 10
    for motion in motions:
        torch.testing.assert_close(
            tokens(motion.of_images(images, 16)), motion.of_tokens(tokens(images))
        )
        torch.testing.assert_close(motion.back(motion.of_tokens(tokens(images))), tokens(images))
    assert torch.equal(Motion((0, 0), False, 0).of_images(images, 16), images)


def test_a_teacher_that_sees_turned_crops_says_what_holds_in_every_direction(make_trainer) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 64, 64)
    straight, turned = (make_trainer(replace(CONFIG, turned=turned)) for turned in (False, True))
    with torch.no_grad():
        expected = straight.targets(images)
        seen = []
        for turned.state.step in range(20):
            seen.append(turned.targets(images))

    same = [torch.allclose(one, expected, atol=1e-5) for one in seen]
    assert any(same)
    assert not all(same)


def test_only_the_student_sees_changed_crops_of_a_clean_teacher(make_trainer) -> None:
    config = replace(CONFIG, noise=0.5)
    for clean in (False, True):
        trainer = make_trainer(replace(config, clean=clean))
        [part] = trainer.portions(0)
        unchanged = replace(trainer.crops, light=None).batch(64, part.batch.keys)
        assert torch.equal(part.shown, unchanged) is clean
        assert torch.equal(part.shown, part.images) is not clean


def test_config_survives_json() -> None:
    config = replace(CONFIG, target=Target.BLANKED, wrap=True, slope=1.0, images=("a", "b"))
    assert FinetuneConfig.from_json(config.to_json()) == config
    assert FinetuneConfig.from_json("{}").geometry == Geometry(slopes=Slopes.LEARNED)


def test_help_explains_every_option_with_its_default() -> None:
    text = " ".join(COMMAND.parser().format_help().split())
    for name, (_, option) in FinetuneConfig.described().items():
        assert name == "images" or f"--{name.replace('_', '-')}" in text
        assert option.text in text
    assert "[logits per token] (default: 0.0884)" in text
    assert "130 interrupted" in text
