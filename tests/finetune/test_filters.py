"""Whole runs that train filters through the command line, with a small model and few pictures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from napari_alibi_seg.core.channels.learned_filters import WEIGHTS, FilterNetwork
from napari_alibi_seg.finetune.crops import Crops, Stream
from napari_alibi_seg.finetune.data import read_corpus
from napari_alibi_seg.finetune.filter_config import FilterConfig
from napari_alibi_seg.finetune.filter_training import (
    FilterState,
    FilterTrainer,
    seen_views,
)
from napari_alibi_seg.finetune.filter_validation import FilterValidation
from napari_alibi_seg.finetune.filters import COMMAND
from napari_alibi_seg.finetune.options import ConfigError
from napari_alibi_seg.finetune.token_views import Teacher, TokenViews

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Rows = Callable[[Path], list[dict[str, str]]]

MODULE = [sys.executable, "-m", "napari_alibi_seg.finetune.filters"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def arguments(teacher_name: str, images: Path) -> list[str]:
    """Return the command line of a short run, without --output and --steps."""
    return [
        str(images),
        *("--model", teacher_name, "--device", "cpu", "--threads", "1", "--workers", "0"),
        *("--pictures", "5", "--view-tokens", "8", "--batch", "2", "--synthetic", "1"),
        *("--validation-pictures", "2", "--validation-synthetic", "2", "--warmup", "2"),
        *("--held-out", "0.3", "--validate-every", "4"),
    ]


def assert_equal_weights(one: Path, other: Path) -> None:
    first, second = (load_file(run / "checkpoint.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0, msg=name)


@pytest.fixture(scope="module")
def finished(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    assert COMMAND.main([*arguments, "--steps", "6", "--output", str(run)]) == 0
    return run


@pytest.fixture
def uninterrupted(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "uninterrupted")
    return tmp_path / "uninterrupted"


def test_a_run_leaves_filters_that_load_and_agree_with_their_card(
    uninterrupted: Path, rows: Rows
) -> None:
    path = uninterrupted / WEIGHTS
    stored = load_file(path)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    network = FilterNetwork()
    network.load_state_dict({name: value.float() for name, value in stored.items()})
    assert torch.isfinite(network(torch.rand(1, 1, 32, 32))).all()

    card = json.loads((uninterrupted / "card.json").read_text())
    assert card["filters"]["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert card["training"] == {"steps": 6, "views": 12, "made_up": 6, "complete": True}
    assert card["config"]["images"] == ["images0"]
    assert [int(row["step"]) for row in rows(uninterrupted / "steps.csv")] == [*range(1, 7)]
    *_, last = rows(uninterrupted / "validation.csv")
    assert float(last["balanced_accuracy"]) == pytest.approx(
        card["figures"]["balanced_accuracy"], rel=1e-4
    )


def test_a_run_goes_on_from_the_filters_of_another(
    uninterrupted: Path, arguments: list[str], tmp_path: Path
) -> None:
    earlier, run = uninterrupted / WEIGHTS, tmp_path / "next"
    hardly = ["--steps", "1", "--learning-rate", "1e-9", "--seed", "1"]
    assert COMMAND.main([*arguments, *hardly, "--init", str(earlier), "--output", str(run)]) == 0
    before, after = load_file(earlier), load_file(run / WEIGHTS)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=2e-3, atol=1e-6, msg=name)
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    assert card["config"]["init"] == WEIGHTS


def test_an_interrupted_run_resumes_to_the_weights_of_an_uninterrupted_one(
    uninterrupted: Path,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    rows: Rows,
) -> None:
    run = tmp_path / "interrupted"
    step = FilterTrainer._step

    def interrupted(trainer: FilterTrainer, shown):
        if trainer.state.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer, shown)

    monkeypatch.setattr(FilterTrainer, "_step", interrupted)
    assert COMMAND.main([*arguments, "--steps", "6", "--output", str(run)]) == 130
    assert "interrupted and saved; go on with" in capfd.readouterr().err
    assert len(rows(run / "steps.csv")) == 3
    assert COMMAND.main(["--output", str(run), "--resume"]) == 0
    assert_equal_weights(uninterrupted, run)
    assert (run / WEIGHTS).read_bytes() == (uninterrupted / WEIGHTS).read_bytes()


def test_a_killed_run_with_a_process_beside_it_resumes_to_the_same_weights(
    uninterrupted: Path, arguments: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    command = [*MODULE, *arguments, "--steps", "6", "--workers", "1", "--checkpoint-minutes", "0"]
    process = subprocess.Popen([*command, "--output", str(run)], env=ONE_THREAD)
    while not (run / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert COMMAND.main(["--output", str(run), "--resume"]) == 0
    assert_equal_weights(uninterrupted, run)


def test_a_run_interrupted_while_tokens_are_computed_keeps_those_it_has(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    computed = Teacher._computed

    def interrupted(teacher: Teacher, crops: Crops, keys: list[tuple[int, ...]], basis):
        if keys[0][1] > 0:
            raise KeyboardInterrupt
        return computed(teacher, crops, keys, basis)

    monkeypatch.setattr(Teacher, "_computed", interrupted)
    command = [*arguments, "--pictures", "20", "--steps", "1", "--output", str(run)]
    assert COMMAND.main(command) == 130
    assert "the tokens so far are kept; go on with" in capfd.readouterr().err
    monkeypatch.undo()
    kept = (run / "views" / "training-00000.safetensors").stat().st_mtime_ns
    assert COMMAND.main(["--output", str(run), "--resume"]) == 0
    assert (run / "views" / "training-00000.safetensors").stat().st_mtime_ns == kept


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[FilterTrainer, FilterValidation]:
    """Views whose tokens are their mean grey, which filters can foretell, and a trained state."""
    random = torch.Generator().manual_seed(0)
    grey = torch.randint(0, 255, (8, 8, 8), generator=random).to(torch.uint8)
    images = grey.repeat_interleave(8, 1).repeat_interleave(8, 2)
    tokens = (grey.float() / 255 - 0.5)[..., None].half()
    views = TokenViews(images, tokens)
    config = FilterConfig(
        steps=50,
        warmup=5,
        learning_rate=5e-3,
        ema=0.9,
        batch=4,
        synthetic=1,
        workers=0,
        validation_synthetic=8,
        pictures=8,
    )
    trainer = FilterTrainer(config, views, FilterState.start(config, 1, CPU))
    for _ in trainer.steps():
        pass
    return trainer, FilterValidation(views, config)


def test_filters_learn_to_foretell_tokens_and_to_tell_phases(trained) -> None:
    trainer, validation = trained
    before = validation.score(FilterState.start(trainer.config, 1, CPU).mean)
    after = validation.score(trainer.state.mean)
    assert before.token_r2 < 0.3
    assert after.token_r2 > 0.5
    assert after.cross_entropy < before.cross_entropy


def test_views_and_their_tokens_are_turned_alike(trained) -> None:
    trainer, _ = trained
    plain = FilterConfig(batch=4, pictures=8, contrast=0.0, brightness=0.0, noise=0.0)
    turned = set()
    for step in range(12):
        images, tokens = seen_views(trainer.views, plain, step, CPU)
        torch.testing.assert_close(images[:, 0, ::8, ::8] - 0.5, tokens[..., 0], atol=1e-3, rtol=0)
        again, _ = seen_views(trainer.views, plain, step, CPU)
        torch.testing.assert_close(images, again)
        turned.add(images.numpy().tobytes())
    assert len(turned) == 12


def test_tokens_are_contrasts_on_components_of_falling_size(teacher, images, tmp_path) -> None:
    config = FilterConfig(images=(str(images),))
    corpus = read_corpus([images], config)
    crops = Crops(corpus, corpus.training, config.seed, config.magnification, grey=1.0)
    views = Teacher(teacher, 64, tmp_path, "these").views(crops, Stream.TRAINING, 12)
    tokens = views.tokens.float()
    assert views.images.shape == (12, 64, 64)
    assert tokens.shape[:3] == (12, 8, 8)
    assert tokens.mean(dim=(1, 2)).abs().max() < 1e-2
    variances = tokens.flatten(0, 2).var(dim=0)
    assert (variances.diff() < 1e-2).all()
    second = Teacher(teacher, 64, tmp_path, "these").views(crops, Stream.TRAINING, 12)
    torch.testing.assert_close(second.tokens, views.tokens)


def test_the_folder_keeps_tokens_of_one_model_and_these_pictures(
    uninterrupted: Path, arguments: list[str], images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [str(images / "1.png"), str(images / "2.png"), "--resume"]
    assert COMMAND.main([*command, "--output", str(uninterrupted)]) == 5
    assert "made from other pictures" in capfd.readouterr().err
    assert COMMAND.main(["--resume", "--output", str(uninterrupted)]) == 0


@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        (["missing"], 3, "There is no file or folder"),
        ([], 2, "No images were given"),
    ],
)
def test_no_images(
    given: list[str],
    code: int,
    reason: str,
    arguments: list[str],
    tmp_path: Path,
    assert_refused: Callable[..., None],
) -> None:
    paths = [str(tmp_path / name) for name in given]
    assert_refused(COMMAND.main, [*paths, *arguments[1:]], tmp_path / "run", code, reason)


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--model", "nothing"], 5, "There is no model called"),
        (["--view-tokens", "12"], 2, "multiple of 8"),
        (["--batch", "6"], 2, "larger than pictures"),
        (["--precision", "float16"], 2, "auto, float32 or bfloat16"),
        (["--resume"], 7, "no run to resume"),
        (["--device", "abacus"], 8, "cannot be used here"),
    ],
)
def test_options_that_cannot_be(
    options: list[str],
    code: int,
    reason: str,
    arguments: list[str],
    tmp_path: Path,
    assert_refused: Callable[..., None],
) -> None:
    assert_refused(COMMAND.main, [*arguments, *options], tmp_path / "run", code, reason)


def test_another_option_is_no_way_to_resume(
    uninterrupted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["--output", str(uninterrupted), "--resume"]
    assert COMMAND.main([*command, "--synthetic", "3"]) == 2
    assert "other values of synthetic" in capfd.readouterr().err


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"magnification": (2.0, 1.0)}, {"ema": 1.0}, {"clip": float("nan")}],
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        FilterConfig(**options)


def test_a_loss_that_is_no_number_ends_the_run_with_a_remedy(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments, "--learning-rate", "1e30", "--warmup", "0", "--steps", "20"]
    assert COMMAND.main([*command, "--output", str(tmp_path / "run")]) == 1
    assert "lower --learning-rate" in capfd.readouterr().err


def test_help_explains_every_option_with_its_default() -> None:
    text = " ".join(COMMAND.parser().format_help().split())
    for name, (_, option) in FilterConfig.described().items():
        assert name == "images" or f"--{name.replace('_', '-')}" in text
        assert option.text in text
    assert "[micrographs] (default: 5)" in text


def test_config_survives_json() -> None:
    config = FilterConfig(images=("a", "b"), magnification=(0.5, 2.0), seed=3)
    assert FilterConfig.from_json(config.to_json()) == config
