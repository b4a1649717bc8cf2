"""Targets are what the teacher says less what position adds; scores know equal from different."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from napari_alibi_seg.core.model.checkpoints import convert_to_alibi
from napari_alibi_seg.core.model.geometry import PUBLISHED, Geometry
from napari_alibi_seg.core.model.position import tile_cosine
from napari_alibi_seg.finetune.config import FinetuneConfig, Target
from napari_alibi_seg.finetune.crops import Crops, Stream
from napari_alibi_seg.finetune.data import read_corpus
from napari_alibi_seg.finetune.targets import Imitated, TargetTable, make_table, position_channels
from napari_alibi_seg.finetune.validation import Validation, nearest_agreement

if TYPE_CHECKING:
    from pathlib import Path

    from napari_alibi_seg.core.model.backbone import Backbone

CONFIG = FinetuneConfig(crop_sizes=(64,), crop_shares=(1.0,), target_crops=48, held_out=0.3)


@pytest.fixture
def crops(images: Path) -> Crops:
    corpus = read_corpus([images], CONFIG)
    return Crops.of(CONFIG, corpus, corpus.training)


class Positional(torch.nn.Module):
    """Mean colours of patches, and a channel that says which column a patch is in."""

    patch_size, channels = 16, 4

    def __init__(self, known: float = 1.0) -> None:
        super().__init__()
        self.known = known
        self.device_holder = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        colours = torch.nn.functional.avg_pool2d(images, 16).permute(0, 2, 3, 1)  # (B, h, w, 3)
        column = torch.linspace(0, self.known, colours.shape[2]).expand(colours.shape[:3])
        return torch.cat([colours, column[..., None]], dim=-1)


def variance_between_positions(tokens: torch.Tensor) -> float:
    return float(tokens.mean(dim=0).var(dim=(0, 1)).sum())


def test_centred_targets_have_one_mean_everywhere(teacher: Backbone, crops: Crops) -> None:
    table = make_table(teacher, crops, CONFIG)
    with torch.no_grad():
        tokens = teacher(crops.batch(64, [(Stream.TRAINING, 0, 0, n) for n in range(64)]))
    targets = table.apply(tokens)

    assert variance_between_positions(targets) < 0.1 * variance_between_positions(tokens)
    torch.testing.assert_close(targets.mean(dim=(0, 1, 2)), tokens.mean(dim=(0, 1, 2)))


def test_centring_leaves_content_alone(crops: Crops) -> None:
    teacher = Positional()
    images = crops.batch(64, [(Stream.TRAINING, 0, 0, n) for n in range(4)])
    targets = make_table(teacher, crops, CONFIG).apply(teacher(images))

    torch.testing.assert_close(targets[..., 3], torch.full((4, 4, 4), 0.5))
    difference = teacher(images)[..., :3] - targets[..., :3]
    assert difference.abs().max() < 0.1
    torch.testing.assert_close(difference[0], difference[3])


def test_blanked_channels_are_found_by_probing(crops: Crops) -> None:
    teacher = Positional()
    config = replace(CONFIG, target=Target.BLANKED, blank_above=0.3)

    assert position_channels(teacher, crops, config) == [3]
    assert make_table(teacher, crops, config).kept.tolist() == [1, 1, 1, 0]


def test_plain_targets_are_the_tokens(teacher: Backbone, crops: Crops) -> None:
    tokens = torch.rand(2, 4, 4, teacher.channels)
    table = make_table(teacher, crops, replace(CONFIG, target=Target.PLAIN))
    assert torch.equal(table.apply(tokens), tokens)


def test_table_survives_its_file(tmp_path: Path) -> None:
    table = TargetTable({4: torch.rand(4, 4, 3)}, torch.tensor([1.0, 0.0, 1.0]))
    table.save(tmp_path / "table.safetensors")
    tokens = torch.rand(1, 4, 4, 3)
    assert torch.equal(
        TargetTable.load(tmp_path / "table.safetensors").apply(tokens), table.apply(tokens)
    )


def test_a_table_of_the_last_block_is_the_end_of_that_of_several(
    teacher: Backbone, crops: Crops
) -> None:
    images = crops.batch(64, [(Stream.TRAINING, 0, 0, n) for n in range(2)])
    both, last = Imitated(teacher, (1,)), Imitated(teacher, ())
    table = make_table(both, crops, CONFIG)
    targets = table.of_last(teacher.channels).apply(teacher(images))
    torch.testing.assert_close(targets, table.apply(both(images))[..., -teacher.channels :])
    torch.testing.assert_close(targets, make_table(last, crops, CONFIG).apply(last(images)))


def test_agreement_is_one_for_equal_and_chance_for_unrelated_tokens() -> None:
    tokens = torch.randn(4, 8, 8, 16)
    assert nearest_agreement(3 * tokens, tokens) == 1
    assert nearest_agreement(torch.randn(4, 8, 8, 16), tokens) < 0.1


def test_both_probes_tell_a_model_that_knows_its_columns_from_one_that_does_not(
    crops: Crops,
) -> None:
    knowing, unknowing = Positional(), Positional(known=0.0)
    table = TargetTable({}, torch.ones(4))
    scores = Validation(knowing, table, crops, CONFIG.validation_crops).score(unknowing)

    assert scores.teacher_loio_r2 > 0.3 > 0.1 > scores.loio_r2
    assert scores.teacher_authors_r2 > scores.authors_r2 + 0.3
    assert scores.null_r2 < 0.1
    itself = Validation(knowing, table, crops, CONFIG.validation_crops).score(knowing)
    assert itself.authors_r2 == scores.teacher_authors_r2
    assert itself.null_r2 < 0.1 < itself.loio_r2


def test_tiles_agree_better_the_less_a_geometry_knows_the_canvas(teacher: Backbone) -> None:
    images = torch.rand(1, 3, 256, 256)

    def agreement(geometry: Geometry) -> float:
        model = convert_to_alibi("test_vit", teacher, geometry)
        with torch.no_grad():
            return tile_cosine(model, images, model(images))

    assert agreement(Geometry(slope=2.0)) > agreement(PUBLISHED)
    assert agreement(Geometry(slope=50.0)) == pytest.approx(1, abs=1e-4)
