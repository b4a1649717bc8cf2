"""Whole runs through the command line: resumed, killed, split over processes, out of disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tqdm import tqdm

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.model.checkpoints import load_backbone
from napari_alibi_seg.core.model.geometry import Geometry
from napari_alibi_seg.finetune import distillation_run
from napari_alibi_seg.finetune import run as training_run
from napari_alibi_seg.finetune.__main__ import COMMAND
from napari_alibi_seg.finetune.config import FinetuneConfig
from napari_alibi_seg.finetune.logs import RunLog
from napari_alibi_seg.finetune.run import stop_wish

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = Callable[[Path], list[dict[str, str]]]

MODULE = [sys.executable, "-m", "napari_alibi_seg.finetune"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoint.safetensors")


def assert_equal_weights(one: Path, other: Path, tolerance: float = 0.0) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=tolerance, msg=name)


@pytest.fixture(scope="module")
def finished(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    assert COMMAND.main([*arguments, "--steps", "8", "--output", str(run)]) == 0
    return run


@pytest.fixture
def uninterrupted(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "uninterrupted")
    return tmp_path / "uninterrupted"


def test_run_leaves_a_loadable_student_that_agrees_with_its_card(
    uninterrupted: Path, arguments: list[str], rows: Rows
) -> None:
    student, identity = load_backbone(str(uninterrupted / "student.safetensors"))
    card = json.loads((uninterrupted / "card.json").read_text())

    assert identity.architecture == card["student"]["architecture"] == "test_vit"
    assert student.geometry == Geometry(**card["student"]["geometry"])
    assert identity.weights == card["student"]["weights"]
    assert card["training"] == {"steps": 8, "crops": card["training"]["crops"], "complete": True}
    assert card["training"]["crops"] == sum(
        int(row["crops"]) for row in rows(uninterrupted / "steps.csv")
    )
    assert card["data"]["training"] + card["data"]["validation"] == 6
    assert float(rows(uninterrupted / "validation.csv")[-1]["cosine_distance"]) == pytest.approx(
        card["figures"]["cosine_distance"], rel=1e-4
    )
    text = (uninterrupted / "card.md").read_text()
    assert "Licence of the weights: Apache-2.0" in text
    assert "not told; see --sources" in text


def test_tensorboard_shows_what_the_tables_hold(uninterrupted: Path, rows: Rows) -> None:
    board = EventAccumulator(str(uninterrupted / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in board.Scalars("steps/loss")]
    losses = [(int(row["step"]), float(row["loss"])) for row in rows(uninterrupted / "steps.csv")]
    assert len(shown) == 8
    assert np.array(shown) == pytest.approx(np.array(losses), rel=1e-5)
    [last] = board.Scalars("validation/loio_r2")
    [row] = rows(uninterrupted / "validation.csv")
    assert last.value == pytest.approx(float(row["loio_r2"]), rel=1e-5)


def test_a_validation_is_told_and_is_no_part_of_the_rate_of_steps(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    assert (
        COMMAND.main([*arguments, "--steps", "2", "--validate-every", "1", "--output", str(run)])
        == 0
    )
    assert capfd.readouterr().err.count("validating: ") == 2

    with tqdm(total=4, initial=2) as bar:
        before = bar.format_dict["elapsed"]
        monkeypatch.setattr(training_run, "clock", iter([0.0, 1e6]).__next__)
        with training_run.without_time(bar, "validating"):
            pass
        assert bar.format_dict["elapsed"] < before - 1e5


def test_a_failure_between_steps_leaves_the_bar_as_after_a_success() -> None:
    with tqdm(total=4) as bar:
        with pytest.raises(OSError), training_run.without_time(bar, "saving"):
            raise OSError("disk full")
        assert bar.desc == ""


def test_the_card_repeats_what_is_told_of_the_images(arguments: list[str], tmp_path: Path) -> None:
    told = "# Blood smears\n\nLicence: CC BY-SA 4.0 (Müller)\n"
    (tmp_path / "SOURCES.md").write_text(told, encoding="utf-8")
    run = tmp_path / "run"
    command = [*arguments, "--steps", "1", "--sources", str(tmp_path / "SOURCES.md")]
    assert COMMAND.main([*command, "--output", str(run)]) == 0
    assert json.loads((run / "card.json").read_text())["sources"] == told
    assert "> Licence: CC BY-SA 4.0 (Müller)" in (run / "card.md").read_text(encoding="utf-8")


def test_saved_config_repeats_the_run(uninterrupted: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    config = uninterrupted / "config.json"

    assert COMMAND.main(["--config", str(config), "--output", str(again)]) == 0

    assert_equal_weights(uninterrupted, again)


def test_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(
    uninterrupted: Path, arguments: list[str], tmp_path: Path, rows: Rows
) -> None:
    run = tmp_path / "killed"
    command = [*MODULE, *arguments, "--steps", "8", "--checkpoint-minutes", "0"]
    process = subprocess.Popen([*command, "--output", str(run)], env=ONE_THREAD)
    while not (run / "steps.csv").exists() or len(rows(run / "steps.csv")) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL

    assert COMMAND.main(["--resume", "--output", str(run)]) == 0

    assert_equal_weights(uninterrupted, run)
    assert [row["step"] for row in rows(run / "steps.csv")] == [str(n) for n in range(1, 9)]


@pytest.mark.parametrize("accumulate", ["1", "3"])
def test_two_processes_reach_the_weights_of_one(
    accumulate: str, arguments: list[str], tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    command = [*arguments, "--steps", "4", "--accumulate", accumulate]
    assert COMMAND.main([*command, "--output", str(one)]) == 0

    launched = [*TWO, *MODULE[1:], *command, "--output", str(two)]
    ended = subprocess.run(launched, check=True, env=ONE_THREAD, capture_output=True, text=True)

    assert_equal_weights(one, two, tolerance=2e-5)
    assert ended.stdout.count("step 4 of 4") == 1


@pytest.mark.parametrize("fault", ["is in use", "There is no file or folder"])
def test_of_two_processes_one_tells_what_is_wrong(
    fault: str, arguments: list[str], tmp_path: Path
) -> None:
    run, images = tmp_path / "run", tmp_path / "missing"
    if fault == "is in use":  # which only the first process finds out
        images = Path(arguments[0])
        run.mkdir()
        (run / "file").touch()
    command = [*TWO, *MODULE[1:], str(images), *arguments[1:], "--output", str(run)]

    ended = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True)

    said = ended.stderr
    assert ended.returncode
    assert said.count("napari-alibi-seg: error: ") == 1
    assert fault in said
    assert "napari_alibi_seg/finetune/" not in said


def test_crop_sizes_alone_are_taken_equally_often(arguments: list[str], tmp_path: Path) -> None:
    start = arguments.index("--crop-shares")
    assert arguments[start - 2 : start] == ["32", "48"]
    command = [*arguments[:start], *arguments[start + 3 :], "--steps", "1"]
    assert COMMAND.main([*command, "--output", str(tmp_path)]) == 0
    assert FinetuneConfig.read(tmp_path / "config.json").crop_shares == (1.0, 1.0)


def test_accumulated_batches_see_as_many_crops_more(arguments: list[str], tmp_path: Path) -> None:
    crops = {}
    for times in ("1", "3"):
        run = tmp_path / times
        command = [*arguments, "--steps", "2", "--accumulate", times, "--output", str(run)]
        assert COMMAND.main(command) == 0
        crops[times] = json.loads((run / "card.json").read_text())["training"]["crops"]
    assert crops["3"] == 3 * crops["1"]


def test_student_comes_nearer_to_its_target(
    arguments: list[str], tmp_path: Path, rows: Rows
) -> None:
    run = tmp_path / "run"
    command = [*arguments, "--steps", "60", "--ema", "0.9", "--validate-every", "30"]
    command += ["--matrix-rate", "1"]
    assert COMMAND.main([*command, "--output", str(run)]) == 0

    losses = [float(row["loss"]) for row in rows(run / "steps.csv")]

    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert [row["step"] for row in rows(run / "validation.csv")] == ["30", "60"]


def test_a_lost_connection_is_ignored_after_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_wish() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_resumed_run_that_is_interrupted_early_is_not_said_to_have_no_steps(
    uninterrupted: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_alibi_seg.finetune.distillation_run.read_corpus", interrupted)
    assert COMMAND.main(["--resume", "--output", str(uninterrupted)]) == 130
    said = "interrupted before this command took a step; go on with --output"
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_ends_programs_asks_to_stop(number: signal.Signals) -> None:
    with stop_wish() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.is_set()


def test_interrupt_stops_after_a_step_and_keeps_it(
    arguments: list[str], tmp_path: Path, rows: Rows
) -> None:
    run = tmp_path / "stopped"
    command = [*MODULE, *arguments, "--steps", "100000", "--output", str(run)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=ONE_THREAD, stdout=pipe, stderr=pipe, text=True)
    while not (run / "steps.csv").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, warned = process.communicate()

    assert process.returncode == 130
    card = json.loads((run / "card.json").read_text())
    assert card["training"]["steps"] == len(rows(run / "steps.csv"))
    assert card["training"]["complete"] is False
    assert f"{run / 'student.safetensors'}: step {card['training']['steps']} of 100000" in said
    assert f"go on with --output {run} --resume" in warned


def test_full_disk_keeps_the_last_checkpoint(
    uninterrupted: Path, arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource")
    run = tmp_path / "full"
    assert COMMAND.main([*arguments, "--steps", "4", "--output", str(run)]) == 0
    before = (run / "checkpoint.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        code = COMMAND.main(["--resume", "--output", str(run)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert code == 7
    assert "free space" in capfd.readouterr().err
    assert (run / "checkpoint.safetensors").read_bytes() == before


def test_a_run_with_a_damaged_checkpoint_says_how_to_save_what_was_learnt(
    uninterrupted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = uninterrupted / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])

    assert COMMAND.main(["--resume", "--output", str(uninterrupted)]) == 5

    assert "--init from the student.safetensors" in capfd.readouterr().err


def test_figures_of_an_earlier_validation_stay_in_the_card(
    arguments: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [*arguments, "--steps", "4", "--validate-every", "4", "--output", str(run)]
    assert COMMAND.main(command) == 0
    before = json.loads((run / "card.json").read_text())["figures"]

    assert COMMAND.main(["--resume", "--output", str(run)]) == 0

    after = json.loads((run / "card.json").read_text())["figures"]
    assert after == pytest.approx(before, rel=1e-5, abs=1e-5)
    assert after


def test_rows_wait_while_another_program_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rows: Rows
) -> None:
    with closing(RunLog(tmp_path, 0)) as log:
        log.add("steps", 1, {"loss": 0.5})
        with monkeypatch.context() as excel:  # Windows refuses to open what it holds
            excel.setattr("pathlib.Path.open", _refuse)
            log.add("steps", 2, {"loss": 0.25})
            log.add("steps", 3, {"loss": 0.125})
            log.add("validation", 3, {"loio_r2": 0.0})
        assert [row["step"] for row in rows(tmp_path / "steps.csv")] == ["1"]
        log.add("steps", 4, {"loss": 0.0625})
        assert [row["step"] for row in rows(tmp_path / "steps.csv")] == ["1", "2", "3", "4"]
        assert log.last("steps") == {"loss": 0.0625}
    assert rows(tmp_path / "validation.csv") == [{"step": "3", "loio_r2": "0"}]
    assert "held by another program" in caplog.text


def test_rows_that_wait_to_the_end_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunLog(tmp_path, 0)
    monkeypatch.setattr("pathlib.Path.open", _refuse)
    log.add("steps", 1, {"loss": 0.5})
    with pytest.raises(OutputError, match="close the file in other programs"):
        log.close()


@pytest.mark.parametrize("left", ["", "st", "step,lo"])
def test_figures_begun_on_a_full_disk_are_begun_anew(tmp_path: Path, left: str, rows: Rows) -> None:
    (tmp_path / "steps.csv").write_text(left)
    with closing(RunLog(tmp_path, 0)) as log:
        assert log.last("steps") == {}
        log.add("steps", 1, {"loss": 0.5})
    assert rows(tmp_path / "steps.csv") == [{"step": "1", "loss": "0.5"}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_told_even_while_the_log_is_closed(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="free space"), closing(RunLog(tmp_path, 0)) as log:
        (tmp_path / "steps.csv").symlink_to("/dev/full")
        log.add("steps", 1, {"loss": 0.5})


def _refuse(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_loss_that_is_no_number_stops_the_run(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "diverged"
    steep = ["--learning-rate", "1e30", "--warmup", "0", "--clip", "1e30"]

    assert COMMAND.main([*arguments, *steep, "--steps", "8", "--output", str(run)]) == 1

    said = capfd.readouterr().err
    assert "is not finite in step" in said
    assert "nothing had been saved yet" in said
    assert not (run / "student.safetensors").exists()


def test_a_run_whose_loss_is_no_number_says_how_to_go_on_from_its_student(
    uninterrupted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steep = replace(
        FinetuneConfig.read(uninterrupted / "config.json"), learning_rate=1e30, clip=1e30, steps=16
    )
    (uninterrupted / "config.json").write_text(steep.to_json())

    assert COMMAND.main(["--resume", "--output", str(uninterrupted)]) == 1

    said = capfd.readouterr().err
    advised = re.search("start a run in another --output with (.*) and a lower", said)
    assert advised is not None
    again = [*advised[1].split(), "--learning-rate", "1e-3", "--clip", "1"]
    assert COMMAND.main([*again, "--steps", "2", "--output", str(tmp_path / "again")]) == 0


def test_a_finished_run_tells_its_student_and_its_figures(
    uninterrupted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert COMMAND.main(["--resume", "--output", str(uninterrupted)]) == 0
    said = capfd.readouterr().out
    assert f"{uninterrupted / 'student.safetensors'}: step 8 of 8" in said
    assert "cosine_distance: 0." in said


def test_resume_refuses_a_changed_config(
    uninterrupted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.iterdir()}

    code = COMMAND.main(["--resume", "--output", str(uninterrupted), "--learning-rate", "1e-5"])

    assert code == 2
    assert "learning_rate" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.iterdir()} == before


def test_resume_takes_options_that_do_not_change_the_result(uninterrupted: Path) -> None:
    again = ["--resume", "--output", str(uninterrupted), "--checkpoint-minutes", "3"]
    assert COMMAND.main(again) == 0
    assert FinetuneConfig.read(uninterrupted / "config.json").checkpoint_minutes == 3


def test_a_run_goes_on_from_another_folder_than_it_was_started_in(
    teacher_name: str,
    images: Path,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, _, weights = teacher_name.rpartition(":")
    shutil.copy(weights, tmp_path / "weights.safetensors")
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    command = ["images", "--teacher", f"{name}:weights.safetensors", *arguments[3:]]
    assert COMMAND.main([*command, "--steps", "1", "--output", "first"]) == 0
    command += ["--steps", "1", "--init", "first/student.safetensors"]
    assert COMMAND.main([*command, "--output", "second"]) == 0

    monkeypatch.chdir(images)
    assert COMMAND.main(["--resume", "--output", str(tmp_path / "second")]) == 0

    assert str(tmp_path) in (tmp_path / "second" / "config.json").read_text()
    for card in ("card.json", "card.md"):
        assert str(tmp_path) not in (tmp_path / "second" / card).read_text()
    first, second = (
        json.loads((tmp_path / run / "card.json").read_text()) for run in ("first", "second")
    )
    assert first["earlier"] == {}
    assert second["earlier"] == {key: first[key] for key in ("training", "config")}


def test_resume_refuses_other_images(
    uninterrupted: Path, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.iterdir()}
    fewer = [str(path) for path in sorted(images.iterdir())[:4]]

    assert COMMAND.main([*fewer, "--resume", "--output", str(uninterrupted)]) == 5

    assert "other images" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.iterdir()} == before
    assert COMMAND.main(["--resume", "--output", str(uninterrupted)]) == 0


def test_resume_refuses_images_that_have_changed(
    arguments: list[str], images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own, run = tmp_path / "own", tmp_path / "run"
    shutil.copytree(images, own)
    command = [str(own), *arguments[1:], "--steps", "1", "--output", str(run)]
    assert COMMAND.main(command) == 0
    picture = Image.open(own / "1.png").rotate(180)
    picture.save(own / "1.png")

    assert COMMAND.main(["--resume", "--output", str(run)]) == 5

    assert "have changed" in capfd.readouterr().err


def test_a_run_without_a_checkpoint_begins_anew_with_the_images_it_is_given(
    uninterrupted: Path, images: Path, arguments: list[str], tmp_path: Path
) -> None:
    fewer = [str(path) for path in sorted(images.iterdir())[:4]]
    other = tmp_path / "other"
    command = [*fewer, *arguments[1:], "--steps", "8", "--output", str(other)]
    assert COMMAND.main(command) == 0
    (uninterrupted / "checkpoint.safetensors").unlink()

    assert COMMAND.main([*fewer, "--resume", "--output", str(uninterrupted)]) == 0

    assert_equal_weights(uninterrupted, other)


def test_folder_in_use_is_refused(
    uninterrupted: Path, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    before = weights(uninterrupted)
    assert COMMAND.main([*arguments, "--steps", "8", "--output", str(uninterrupted)]) == 7
    assert "in use" in capfd.readouterr().err
    with FileLock(uninterrupted / ".lock"):
        assert COMMAND.main(["--resume", "--output", str(uninterrupted)]) == 7
    assert "Another run is at work" in capfd.readouterr().err
    assert before.keys() == weights(uninterrupted).keys()


def test_a_run_killed_before_it_began_does_not_block_its_folder(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments, "--steps", "1", "--output", str(tmp_path)]
    with FileLock(tmp_path / ".lock"):
        assert COMMAND.main(command) == 7
    assert "Another run is at work" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert COMMAND.main(command) == 0


def test_a_new_run_leaves_one_that_began_meanwhile_as_it_is(
    uninterrupted: Path, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    read = distillation_run.read_corpus

    def meanwhile(*given: Any) -> Any:
        shutil.copytree(uninterrupted, run)
        return read(*given)

    monkeypatch.setattr(distillation_run, "read_corpus", meanwhile)
    assert COMMAND.main([*arguments, "--steps", "9", "--output", str(run)]) == 7
    assert FinetuneConfig.read(run / "config.json").steps == 8
