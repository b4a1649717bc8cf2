import json
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.io import imread

from napari_alibi_seg.probing.__main__ import main

SHARED = Path(__file__).parents[3] / "shared"
MICROGRAPHS = SHARED / "data/nasa_superalloy/images"
TEACHER = f"timm:vit_small_patch14_dinov2:{SHARED / 'weights/dinov2_vits14.safetensors'}"
ALIBI = "alibi-dinov2-s14"
SMALL = ["--grid", "12", "--tile-grid", "16", "--device", "cpu"]


def crop(number, folder):
    """A 200 px piece of a real micrograph."""
    source = sorted(MICROGRAPHS.glob("*.png"))[number]
    piece = np.asarray(Image.open(source).convert("L"))[100:300, 150:350]
    path = folder / f"crop{number}.png"
    Image.fromarray(piece).save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two models and an unknown one on two images, a copy of one, and a broken one."""
    folder = tmp_path_factory.mktemp("probing")
    images = folder / "images"
    images.mkdir()
    for number in (0, 1):
        crop(number, images)
    with Image.open(images / "crop0.png") as original:
        original.save(images / "crop0.tif")
    (images / "broken.png").write_bytes(b"\x89PNG and no more")
    output = folder / "out"
    models = ["--model", TEACHER, "--model", "no-such-model", "--model", ALIBI]
    once = ["--stability-images", "1"]
    code = main([str(images), *models, "--output", str(output), *SMALL, *once])
    return code, output


@pytest.fixture(scope="module")
def summary(run):
    return json.loads((run[1] / "summary.json").read_text())


def test_broken_images_copies_and_an_unknown_model_are_named_and_the_others_probed(run, summary):
    code, _ = run
    assert code == 1
    assert summary["failed"].keys() == {"broken.png", "crop0.tif", "no-such-model"}
    assert summary["failed"]["crop0.tif"] == "crop0.tif shows the same pixels as crop0.png."
    assert summary["models"].keys() == {TEACHER, ALIBI}
    assert summary["images"] == ["crop0.png", "crop1.png"]


def test_the_summary_has_every_figure_of_every_model_under_the_name_given(summary):
    assert summary["models"].keys() == {TEACHER, ALIBI}
    for model in summary["models"].values():
        assert model["segmentation_layer"] == 10
        for key in ("authors_r2", "loio_r2", "segmentation_loio_r2", "null_r2"):
            assert -1e3 < model[key] <= 1
        for key in ("tile_cosine", "tile_cosine_halo_2", "tile_cosine_halo_4"):
            assert -1 <= model[key] <= 1
        for key in ("flip_disagreement", "shift_disagreement"):
            assert 0 <= model[key] <= 1
            assert 0 <= model[f"{key}_one_sided"] <= 1
        assert model["loio_r2_by_target"].keys() == {"lr", "ud", "diag", "radial"}
        assert model["authors_r2_by_target"]["random"] < 0.1


def test_single_channels_of_the_stock_model_alone_tell_position_and_none_of_alibi(summary):
    assert summary["models"][TEACHER]["best_channel_r2"] > 0.5
    assert summary["models"][ALIBI]["best_channel_r2"] < 0.1


def test_tables_are_tidy_and_complete(run, rows):
    _, output = run
    assert len(rows(output / "authors_probe.csv")) == 2 * 2 * 6 * 5
    assert len(rows(output / "leave_one_image_out.csv")) == 2 * 2 * 3 * 4
    assert len(rows(output / "fingerprint.csv")) == 2 * 12 * 384 * 2
    assert len(rows(output / "channels.csv")) == 2 * 384
    assert len(rows(output / "tiles.csv")) == 2 * 3
    shares = rows(output / "segmentation.csv")
    assert {row["change"] for row in shares} == {
        "flip left-right",
        "flip up-down",
        "half-patch shift",
    }


def test_the_summary_is_what_the_tables_say(run, summary, rows):
    of_model = [
        float(row["r2"])
        for row in rows(run[1] / "leave_one_image_out.csv")
        if (row["model"], row["features"]) == (ALIBI, "as they are")
        and row["target"] in ("lr", "ud")
    ]
    assert summary["models"][ALIBI]["loio_r2"] == pytest.approx(np.mean(of_model), rel=1e-4)


def test_every_figure_is_there_as_png_and_svg(run):
    _, output = run
    drawn = {path.stem for path in output.glob("*.png")}
    assert drawn == {path.stem for path in output.glob("*.svg")}
    assert {"position", "fingerprint", "channels", "tiles", "segmentation"} <= drawn
    for path in output.glob("*.png"):
        assert min(imread(path).shape[:2]) > 200


def test_the_report_needs_nothing_but_itself(run):
    page = (run[1] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|<link|@import|url\(", page)
    assert set(re.findall(r'src="(.{15})', page)) == {"data:image/png;"}
    assert "${" not in page
    assert "broken.png" in page
    assert "strong" in page


@pytest.fixture(scope="module")
def of_one_image(tmp_path_factory):
    """The folder of a run on one image, and what it says where standard output lacks letters."""
    folder = tmp_path_factory.mktemp("one")
    output, stdout = folder / "试验", TextIOWrapper(BytesIO(), encoding="cp1252")
    command = [str(crop(0, folder)), "--model", ALIBI, "--output", str(output), *SMALL]
    with redirect_stdout(stdout):
        assert main([*command, "--stability-images", "0"]) == 0
    stdout.flush()
    return output, stdout.buffer.getvalue()


def test_one_image_says_what_it_cannot_tell(of_one_image, rows):
    output, _ = of_one_image
    figures = json.loads((output / "summary.json").read_text())["models"][ALIBI]
    for key in ("loio_r2", "segmentation_loio_r2", "null_r2", "tile_cosine"):
        assert figures[key] is None
    assert figures["authors_r2"] <= 1
    assert figures["verdict"]["level"] == "not settled"
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "There is one image only" in page
    assert not re.search(r"\b(?:blue is|grey is|circles are)\b", page, re.IGNORECASE)
    assert rows(output / "leave_one_image_out.csv") == []


@pytest.mark.parametrize(
    ("model", "images", "code", "words"),
    [
        ("no-such-model", "good", 5, "no model called 'no-such-model'"),
        (f"{ALIBI}+turns", "good", 5, "no model called 'alibi-dinov2-s14+turns'"),
        (ALIBI, "empty", 3, "No image was found"),
        (ALIBI, "missing.png", 3, "does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, capsys, model, images, code, words):
    for folder in ("good", "empty"):
        (tmp_path / folder).mkdir()
    crop(0, tmp_path / "good")
    output = tmp_path / "out"
    assert main([str(tmp_path / images), "--model", model, "--output", str(output), *SMALL]) == code
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("napari-alibi-seg: error: ")
    assert words in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "good"]


def test_a_report_is_named_where_standard_output_lacks_its_letters(of_one_image):
    _, said = of_one_image
    assert said.decode("cp1252").endswith("\\u8bd5\\u9a8c/report.html\n")


def test_a_folder_in_use_is_refused_and_kept(tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "mine.txt").write_text("precious")
    assert main([str(crop(0, tmp_path)), "--model", ALIBI, "--output", str(output)]) == 7
    assert "in use" in capsys.readouterr().err
    assert [path.read_text() for path in output.iterdir()] == ["precious"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_being_stopped_leaves_no_trace_and_no_traceback(tmp_path, heed_signals, ending):
    image, output = crop(0, tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "napari_alibi_seg.probing", str(image), "--model", ALIBI]
    command += ["--output", str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=heed_signals) as process:
        while not list(tmp_path.glob(".*")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(ending)
        error = process.communicate()[1].decode()
    # Where the interrupt falls into an exec() of a string, as in an import of torch, Python itself
    # ends by the signal although it was caught; a shell calls both 130.
    assert process.returncode in (130, -signal.SIGINT)
    assert "interrupted; nothing unfinished was kept." in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == [image.name]


def test_nothing_heavy_is_imported_for_help():
    code = "import sys; from napari_alibi_seg.probing.__main__ import parser; parser(); "
    code += "assert not {'torch', 'matplotlib', 'napari', 'qtpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("option", "text", "allowed"),
    [
        ("seed", "-1", f"whole number from 0 to {2**32 - 1}"),
        ("seed", str(2**32), f"whole number from 0 to {2**32 - 1}"),
        ("seed", "1.5", f"whole number from 0 to {2**32 - 1}"),
        ("grid", "abc", "whole number from 12 to 256"),
        ("grid", "11", "whole number from 12 to 256"),
        ("tile-grid", "0", "multiple of 4 from 4 to 256"),
        ("tile-grid", "6", "multiple of 4 from 4 to 256"),
        ("stability-images", "few", "whole number from 0 to 10000"),
    ],
)
def test_a_number_that_cannot_be_is_wrong_usage(tmp_path, capsys, option, text, allowed):
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), "--model", ALIBI, "--output", "o", f"--{option}={text}"])
    assert caught.value.code == 2
    message = f"argument --{option}: {text!r} is not a {allowed}"
    assert message in capsys.readouterr().err
