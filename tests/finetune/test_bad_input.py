"""Every mistake ends in one sentence and leaves no run behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import timm
from safetensors.torch import save_file

from napari_alibi_seg.core.model.checkpoints import build_alibi, save_backbone
from napari_alibi_seg.core.model.geometry import Geometry, Slopes
from napari_alibi_seg.finetune.__main__ import COMMAND
from napari_alibi_seg.finetune.config import FinetuneConfig
from napari_alibi_seg.finetune.options import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("sources", "code", "reason"),
    [
        ([], 2, "No images were given"),
        (["missing"], 3, "There is no file or folder"),
        (["empty"], 3, "There is no image in"),
        (["text"], 3, "There is no image in"),
    ],
)
def test_no_images(
    sources: list[str],
    code: int,
    reason: str,
    tmp_path: Path,
    arguments: list[str],
    assert_refused: Callable[..., None],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no picture")
    paths = [str(tmp_path / source) for source in sources]
    assert_refused(COMMAND.main, [*paths, *arguments[1:]], tmp_path / "run", code, reason)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every folder"
)
def test_unreadable_folder(
    tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    command = [str(closed), *arguments[1:]]
    assert_refused(COMMAND.main, command, tmp_path / "run", 3, "cannot be read")


def test_output_below_a_file(
    tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None]
) -> None:
    (tmp_path / "file").touch()
    run = tmp_path / "file" / "run"
    assert_refused(COMMAND.main, arguments, run, 7, "could not be written")


@pytest.mark.parametrize(
    ("more", "reason"), [([], "could not be written"), (["--resume"], "no run to resume")]
)
def test_output_of_a_name_no_system_takes(
    more: list[str], reason: str, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert COMMAND.main([*arguments, *more, "--output", "y" * 300]) == 7
    assert reason in capfd.readouterr().err


@pytest.mark.parametrize("images_given", [True, False])
def test_nothing_to_resume(
    images_given: bool, tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None]
) -> None:
    command = [*arguments, "--resume"] if images_given else ["--resume"]
    assert_refused(COMMAND.main, command, tmp_path / "run", 7, "no run to resume")


def test_teacher_of_another_architecture(
    tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None]
) -> None:
    weights = tmp_path / "other.safetensors"
    save_file(timm.create_model("test_vit3", num_classes=0).state_dict(), weights)
    command = [*arguments, "--teacher", f"timm:test_vit:{weights}"]
    assert_refused(COMMAND.main, command, tmp_path / "run", 5, "do not fit the architecture")


@pytest.mark.parametrize(
    ("architecture", "geometry", "reason"),
    [
        ("test_vit3", Geometry(slopes=Slopes.LEARNED), "96 channels"),
        (
            "test_vit",
            Geometry(),
            "another geometry than the options say (slopes constant, not learned)",
        ),
    ],
)
def test_start_that_does_not_fit(
    architecture: str,
    geometry: Geometry,
    reason: str,
    tmp_path: Path,
    arguments: list[str],
    assert_refused: Callable[..., None],
) -> None:
    start = tmp_path / "start.safetensors"
    save_backbone(build_alibi(architecture, geometry), architecture, start)
    command = [*arguments, "--init", str(start)]
    assert_refused(COMMAND.main, command, tmp_path / "run", 5, reason)


def test_start_that_is_no_alibi_model(
    teacher_name: str, tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None]
) -> None:
    command = [*arguments, "--init", teacher_name]
    assert_refused(COMMAND.main, command, tmp_path / "run", 5, "is not an ALiBi model")


def test_teacher_that_is_an_alibi_model(
    tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None]
) -> None:
    weights = tmp_path / "alibi.safetensors"
    save_backbone(build_alibi("test_vit", Geometry()), "test_vit", weights)
    command = [*arguments, "--teacher", str(weights)]
    assert_refused(COMMAND.main, command, tmp_path / "run", 5, "already is an ALiBi model")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--seed", "-1"], "seed must be"),
        (["--consistency", "-1"], "must not be negative"),
        (["--crop-shares", "1"], "length"),
        (["--sources", "nowhere.md"], "give a text file"),
    ],
)
def test_options_that_cannot_be(
    option: list[str],
    reason: str,
    tmp_path: Path,
    arguments: list[str],
    assert_refused: Callable[..., None],
) -> None:
    assert_refused(COMMAND.main, [*arguments, *option], tmp_path / "run", 2, reason)


@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ("--distance", "euclidean, manhattan"),
        ("--slopes", "constant, per-head, learned"),
        ("--target", "centred, plain, blanked"),
        ("--precision", "auto, float32, bfloat16, float16"),
    ],
)
def test_a_choice_that_is_none(
    option: str, allowed: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        COMMAND.main([*arguments, option, "other"])
    assert caught.value.code == 2
    message = f"argument {option}: must be one of {allowed}, but is 'other'"
    assert message in capsys.readouterr().err


def test_crops_that_are_no_whole_patches(
    tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None]
) -> None:
    command = [*arguments, "--crop-sizes", "32", "50"]
    assert_refused(COMMAND.main, command, tmp_path / "run", 2, "multiples of the teacher's patches")


@pytest.mark.parametrize("block", ["0", "12"])
def test_inner_blocks_that_are_none(
    tmp_path: Path, arguments: list[str], assert_refused: Callable[..., None], block: str
) -> None:
    command = [*arguments, "--inner-blocks", block]
    assert_refused(COMMAND.main, command, tmp_path / "run", 2, "must be from 1 to")


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"stepz": 3}', '{"steps": "3"}', '{"target": "other"}', '{"steps": true}']
)
def test_config_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="config cannot be read"):
        FinetuneConfig.from_json(text)


@pytest.mark.parametrize(
    "options",
    [
        {"crop_sizes": (112,)},
        {"magnification": (2.0, 0.5)},
        {"steps": 0},
        {"validation_crops": 1},
        {"learning_rate": 0.0},
        {"held_out": 1.0},
        {"noise": -1.0},
        {"clip": float("nan")},
        {"memory": float("inf")},
        {"seed": -1},
    ],
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        FinetuneConfig(**options)


def test_options_hold_in_any_folder_and_are_passed_on_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    for name in ("weights/teacher.pth", "weights/student.safetensors", "SOURCES.md"):
        Path(name).touch()
    given = FinetuneConfig(
        images=("weights/pictures/",),
        teacher="timm:vit_small_patch14_dinov2:weights/teacher.pth",
        init="weights/student.safetensors",
        sources="SOURCES.md",
    )

    held, passed_on = given.from_anywhere(), given.without_folders()

    assert held.images == (str(tmp_path / "weights/pictures"),)
    assert held.teacher == f"timm:vit_small_patch14_dinov2:{tmp_path / 'weights/teacher.pth'}"
    assert (held.init, held.sources) == (str(tmp_path / given.init), str(tmp_path / "SOURCES.md"))
    assert passed_on.images == ("pictures",)
    assert passed_on.teacher == "timm:vit_small_patch14_dinov2:teacher.pth"
    assert (passed_on.init, passed_on.sources) == ("student.safetensors", "SOURCES.md")
    assert held.without_folders() == passed_on
