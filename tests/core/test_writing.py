import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from napari_alibi_seg.core import writing
from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.writing import (
    move,
    replacing,
    require_free,
    require_new_folder,
    require_writable,
)


def test_a_file_appears_whole_and_nothing_else_is_left(tmp_path):
    with replacing(tmp_path / "new/a.txt") as aside:
        aside.write_text("whole")
        assert not (tmp_path / "new/a.txt").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_stood_there_stays_if_writing_fails(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as aside:
        aside.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_replaced_as_well(tmp_path):
    path = tmp_path / "a.zarr"
    for content in ("old", "new"):
        with replacing(path) as aside:
            aside.mkdir()
            (aside / "zarr.json").write_text(content)
    assert (path / "zarr.json").read_text() == "new"


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").touch()
    with pytest.raises(OutputError, match="left as it is"), replacing(tmp_path / "thesis"):
        pass
    assert (tmp_path / "thesis/chapter.txt").exists()


def test_a_zarr_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr/zarr.json").touch()
    with pytest.raises(OutputError, match="is a folder"), replacing(tmp_path / "a.zarr") as aside:
        aside.touch()
    assert (tmp_path / "a.zarr/zarr.json").exists()


def test_trying_out_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    require_writable(tmp_path / "a.txt")
    require_writable(tmp_path / "b.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


COUNT = """
import sys
from pathlib import Path
from napari_alibi_seg.core.writing import locked

path = Path(sys.argv[1])
for _ in range(40):
    with locked(path), locked(path):
        path.write_text(str(int(path.read_text()) + 1))
"""


def test_no_process_overwrites_what_another_just_wrote(tmp_path):
    path = tmp_path / "count.txt"
    path.write_text("0")
    programs = [subprocess.Popen([sys.executable, "-c", COUNT, path]) for _ in range(4)]
    assert [program.wait() for program in programs] == [0] * 4
    assert path.read_text() == "160"


def test_outputs_do_not_replace_parts_of_an_input_other_than_its_labels(tmp_path):
    image = tmp_path / "a.zarr"
    image.mkdir()
    (image / "zarr.json").touch()
    for path in (image, image / "0", tmp_path):
        with pytest.raises(OutputError, match="an input"):
            require_free([image], [path])
    require_free([image], [image / "labels/phases", tmp_path / "b.zarr"])


@pytest.fixture
def killed(tmp_path):
    """Kill a program once it has said that it is writing, and done what is to be done then."""

    @contextmanager
    def made(path, then):
        code = (
            "import os, sys, time; from pathlib import Path; "
            "from napari_alibi_seg.core.writing import replacing\n"
            f"path = Path({str(path)!r})\n"
            "with replacing(path) as aside:\n"
            f"    aside.touch(); {then}; print('writing', flush=True); time.sleep(600)"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout.readline() == "writing\n"
            yield
        finally:
            process.kill()
            process.communicate()

    return made


def test_what_a_killed_program_left_is_removed_once_it_is_dead_and_by_no_other(tmp_path, killed):
    path = tmp_path / "a.txt"
    with killed(path, "pass"):
        require_writable(path)
        [left] = tmp_path.iterdir()
    require_writable(tmp_path / "b.txt")
    assert [*tmp_path.iterdir()] == [left]
    with replacing(path) as aside:
        aside.write_text("whole")
        assert not left.exists()
    assert [*tmp_path.iterdir()] == [path]


def test_what_was_just_being_replaced_comes_back(tmp_path, killed):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "zarr.json").write_text("old")
    with killed(path, "os.replace(path, aside.parent / 'replaced')"):
        assert not path.exists()
    require_writable(path)
    assert [*tmp_path.iterdir()] == [path]
    assert (path / "zarr.json").read_text() == "old"


def test_other_errors_keep_their_own_message(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        (tmp_path / "somewhere else").read_text()


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="could not be written"),
        replacing(tmp_path / "file/a.txt"),
    ):
        pass


@pytest.mark.parametrize("stem", [200, 251])
def test_a_name_may_be_as_long_as_the_system_takes_and_longer_ones_are_explained(tmp_path, stem):
    path = tmp_path / f"{stem * 'n'}.tif"
    require_writable(path)
    with replacing(path) as aside:
        aside.touch()
    assert path.exists()
    longer = tmp_path / f"{300 * 'n'}.tif"
    with pytest.raises(OutputError, match="shorter name"):
        require_writable(longer)
    with pytest.raises(OutputError, match="shorter name"), replacing(longer):
        pass


def test_a_file_that_another_program_holds_is_explained(tmp_path):
    held = PermissionError(13, os.strerror(13), str(tmp_path / "a.txt"))
    with pytest.raises(OutputError, match="close it"), replacing(tmp_path / "a.txt"):
        raise held


def test_a_rename_waits_for_a_program_that_holds_the_file(tmp_path, monkeypatch):
    """As it does on Windows, where virus scanners open what was just written."""
    (tmp_path / "a.txt").touch()
    refused, replace = [PermissionError, PermissionError], os.replace

    def held(source, target):
        if refused:
            raise refused.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(writing, "_WAITS_S", (0.01, 0.01))
    move(tmp_path / "a.txt", tmp_path / "b.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]

    refused += 3 * [PermissionError]
    with pytest.raises(PermissionError):
        move(tmp_path / "b.txt", tmp_path / "c.txt")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux holds programs that run")
def test_on_windows_a_file_that_is_held_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_WINDOWS", True)
    path = tmp_path / "table.csv"
    shutil.copy(shutil.which("sleep"), path)
    with subprocess.Popen([path, "60"]) as program:
        with pytest.raises(OutputError, match="could not be written"):
            require_writable(path)
        program.kill()
    require_writable(path)


def test_on_windows_a_long_path_is_told_to_be_too_long(tmp_path, monkeypatch):
    path = tmp_path / ("n" * 200)
    missing = FileNotFoundError(2, os.strerror(2), str(path))
    for windows, advice in ((True, "path is shorter"), (False, "free space")):
        monkeypatch.setattr(writing, "_WINDOWS", windows)
        with pytest.raises(OutputError, match=advice), replacing(path):
            raise missing


def test_another_name_of_an_input_is_refused(tmp_path):
    """A second link, as a name in other capitals is where these make no difference."""
    (tmp_path / "Scan.TIF").touch()
    os.link(tmp_path / "Scan.TIF", tmp_path / "scan.tif")
    with pytest.raises(OutputError, match="another name of an input"):
        require_free([tmp_path / "Scan.TIF"], [tmp_path / "scan.tif"])


@pytest.mark.parametrize("name", [".", "..", "../here"])
@pytest.mark.parametrize("mark", [None, "zarr.json"])
def test_the_folder_one_is_in_is_never_replaced(tmp_path, monkeypatch, name, mark):
    here = tmp_path / "here"
    here.mkdir()
    if mark:
        (here / mark).touch()
    monkeypatch.chdir(here)
    for attempt in (require_writable, lambda path: replacing(path).__enter__()):
        with pytest.raises(OutputError, match="runs in"):
            attempt(Path(name))
    assert [path.name for path in here.iterdir()] == ([mark] if mark else [])


def test_a_full_disk_is_explained(tmp_path):
    full = OSError(28, os.strerror(28))
    with pytest.raises(OutputError, match="No space left"), replacing(tmp_path / "a.txt"):
        raise full
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["file", "full", "y" * 300])
def test_a_folder_for_a_run_is_new_or_empty(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "full/inner").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for free in ("empty", "new"):
        require_new_folder(tmp_path / free, "wait")
    with pytest.raises(OutputError, match=r"in use; .*, or wait|could not be written"):
        require_new_folder(tmp_path / name, "wait")
