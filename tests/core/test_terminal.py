import pytest

from napari_alibi_seg.core.errors import DeviceError, ImageError
from napari_alibi_seg.core.terminal import run_command


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImageError("The image is damaged."), "The image is damaged."),
        (MemoryError(), "too little memory; use less."),
        (RuntimeError("CUDA out of memory. Tried to allocate 1 GiB"), "too little memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "too little memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (KeyboardInterrupt(), "interrupted; nothing unfinished was kept."),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(capsys, error, words):
    def run():
        raise error

    code = run_command(run, "use less")
    assert code == {ImageError: 3, KeyboardInterrupt: 130}.get(type(error), DeviceError.exit_code)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert words in told[0]


def test_an_unknown_error_passes():
    def run():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run_command(run, "use less")
