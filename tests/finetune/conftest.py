"""A small teacher, a few small images, and the shortest run that still has every stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from napari_alibi_seg.core.model.checkpoints import load_backbone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.backbone import Backbone


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def teacher_name(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights whose position embedding is far from zero."""
    torch.manual_seed(0)
    vit = timm.create_model("test_vit", num_classes=0)
    torch.nn.init.normal_(vit.pos_embed, std=0.5)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file(vit.state_dict(), path)
    return f"timm:test_vit:{path}"


@pytest.fixture(scope="session")
def teacher(teacher_name: str) -> Backbone:
    return load_backbone(teacher_name)[0]


def smooth_noise(seed: int, shape: tuple[int, ...] = (96, 80)) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(size=shape)
    field = gaussian_filter(noise, (2, 2, *[0] * (len(shape) - 2)))
    return np.uint8(255 * (field - field.min()) / np.ptp(field))


@pytest.fixture
def texture() -> Callable[..., NDArray[np.uint8]]:
    """Return a maker of images, by seed and shape."""
    return smooth_noise


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(6):
        shape = (96, 80, 3) if seed % 2 else (96, 80)
        Image.fromarray(smooth_noise(seed, shape)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def assert_refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Return a check that a program refuses a command in one sentence and leaves no run."""

    def check(
        main: Callable[[list[str]], int], command: list[str], run: Path, code: int, reason: str
    ) -> None:
        assert main([*command, "--output", str(run)]) == code
        said = [line for line in capfd.readouterr().err.splitlines() if "seg: error: " in line]
        assert len(said) == 1
        assert reason in said[0]
        assert not run.exists()

    return check


@pytest.fixture(scope="session")
def arguments(teacher_name: str, images: Path) -> list[str]:
    """Return the command line of a short run, without --output and --steps."""
    return [
        str(images),
        *("--teacher", teacher_name, "--device", "cpu", "--threads", "1"),
        *("--crop-sizes", "32", "48", "--crop-shares", "1", "1", "--batch-tokens", "24"),
        *("--target-crops", "4", "--validation-crops", "2", "--validate-every", "100"),
        *("--warmup", "2", "--learning-rate", "1e-3", "--held-out", "0.3"),
    ]
