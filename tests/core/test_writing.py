import os

import pytest

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.writing import replacing


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
            (aside / content).touch()
    assert [p.name for p in path.iterdir()] == ["new"]


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="could not be written"),
        replacing(tmp_path / "file/a.txt"),
    ):
        pass


def test_a_full_disk_is_explained(tmp_path):
    full = OSError(28, os.strerror(28))
    with pytest.raises(OutputError, match="No space left"), replacing(tmp_path / "a.txt"):
        raise full
    assert not any(tmp_path.iterdir())
