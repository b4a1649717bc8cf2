import numpy as np
import pytest
import zarr

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.images.micrograph import ImageFile, planes_of
from napari_alibi_seg.core.runs.feature_files import write_features
from napari_alibi_seg.core.runs.ledger import Ledger

MODEL = "alibi-dinov2-s14"


@pytest.fixture
def volume(tmp_path, micrograph_pixels):
    pixels = np.stack([micrograph_pixels[4 * n : 120 + 4 * n] for n in range(3)])
    names = {"dimension_names": ["z", "y", "x"]}
    zarr.create_array(tmp_path / "v.zarr", data=pixels, chunks=(1, 64, 64), **names)
    return ImageFile(tmp_path / "v.zarr")


class Stopped(Exception):
    pass


def stop(stage, done, total):
    if stage == "features":
        raise Stopped


def written(output):
    return np.asarray(zarr.open_array(output, mode="r"))


def test_features_of_a_volume_are_those_of_its_planes_and_go_on_where_they_stopped(
    volume, extractor, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_alibi_seg.core.runs.planewise.available_cores", lambda: 1)
    output = tmp_path / "f.zarr"
    with pytest.raises(Stopped):
        write_features(volume, output, MODEL, device="cpu", scale=1, progress=stop)
    before = {path.name for path in Ledger(output).folder.glob("planes/*")}
    assert 1 <= len(before) < 3
    made = write_features(volume, output, MODEL, device="cpu", scale=1)
    assert made == (3 - len(before), 3)
    expected = [extractor.extract(plane, 1).tokens for plane in planes_of(volume.read()).values()]
    assert np.array_equal(written(output), np.stack(expected))
    assert zarr.open_array(output).attrs["axes"] == ["z", "y", "x", "channel"]


def test_features_of_another_model_are_not_mixed_in(volume, tmp_path):
    output = tmp_path / "f.zarr"
    write_features(volume, output, MODEL, device="cpu", scale=1)
    before = written(output)
    with pytest.raises(OutputError, match="differs in features"):
        write_features(volume, output, f"{MODEL}+flips", device="cpu", scale=1)
    assert np.array_equal(written(output), before)


def test_a_single_plane_tells_of_its_tiles(volume, extractor, tmp_path, micrograph_pixels):
    zarr.create_array(tmp_path / "p.zarr", data=np.tile(micrograph_pixels, 5)[:50])
    told = []
    write_features(
        ImageFile(tmp_path / "p.zarr", axes="YX"), tmp_path / "f.zarr", MODEL, 1, device="cpu",
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    tiles = len(extractor.tiles((50, 850), 1))
    assert tiles > 1
    assert [what[1:] for what in told if what[0] == "features"] == [
        *((n + 1, tiles) for n in range(tiles)),
        (1, 1),
    ]
