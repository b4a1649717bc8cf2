import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import astuple, replace
from threading import Thread

import cloudpickle
import numpy as np
import pytest
import zarr

from napari_alibi_seg.cli import main
from napari_alibi_seg.core.choices import CLASSICAL, DEFAULT_MODEL, SIGMAS_3D
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.errors import DeviceError, ImageError, OutputError
from napari_alibi_seg.core.forest.classifier_files import load_classifier, save_classifier
from napari_alibi_seg.core.images.micrograph import ImageFile, as_micrograph, read_image
from napari_alibi_seg.core.images.ome_zarr import Placement
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.progress import silent
from napari_alibi_seg.core.runs.feature_files import write_features
from napari_alibi_seg.core.runs.ledger import Ledger
from napari_alibi_seg.core.runs.planewise import load_job, make_plane
from napari_alibi_seg.core.runs.volumes import segment_volume
from napari_alibi_seg.core.segmentation import Segmenter

resource = pytest.importorskip("resource")  # only POSIX limits the size of files

DEEP = SegmentationConfig(scale=1, channels=ChannelConfig(8, sigmas=(1.0,)), trees=5)
QUICK = SegmentationConfig(CLASSICAL, channels=ChannelConfig(sigmas=(1.0, 2.5)), trees=5)
PLANES = 6


def write_volume(path, pixels, **options):
    """Write a (Z, Y, X) image as OME-Zarr whose first voxel is at (40, -3.5, 7) nm."""
    group = zarr.create_group(path, zarr_format=3)
    group.create_array("0", data=pixels, chunks=(2, 64, 64), dimension_names=["z", "y", "x"])
    transforms = [
        {"type": "scale", "scale": [20.0, 5.0, 5.0]},
        {"type": "translation", "translation": [40.0, -3.5, 7.0]},
    ]
    scales = {
        "axes": [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": transforms}],
    }
    group.attrs["ome"] = {"version": "0.5", "multiscales": [scales]}
    return path


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """Few enough planes at once for the last ones to be begun late."""
    monkeypatch.setattr("napari_alibi_seg.core.runs.planewise.available_cores", lambda: 2)


@pytest.fixture
def pixels(micrograph_pixels):
    """Six planes, all different, 120 x 130."""
    return np.stack([micrograph_pixels[4 * n : 120 + 4 * n, 5 * n : 130 + 5 * n] for n in range(6)])


@pytest.fixture
def volume(tmp_path, pixels):
    return ImageFile(write_volume(tmp_path / "volume.ome.zarr", pixels))


def trained(config, micrograph, scribbles, path):
    save_classifier(Segmenter(config, "cpu").fit(micrograph, scribbles), path)
    return path


@pytest.fixture
def classifier(micrograph, scribbles, tmp_path):
    return trained(QUICK, micrograph, scribbles, tmp_path / "c.skops")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "labels.ome.zarr"


def labels_of(output, level=0):
    return np.asarray(zarr.open_group(output, mode="r")[str(level)])


def in_memory(source, path):
    known = load_classifier(path)
    applied = Segmenter.of(known, device="cpu").apply(known, source.read())
    return np.stack([result.labels for _, result in applied])


def entries(output):
    """Tell the entries of finished planes apart from any written anew."""
    found = Ledger(output).folder.glob("planes/*.json")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


class Stopped(Exception):
    pass


def after(planes, act):
    """Return a progress report that does something once so many planes are done."""

    def progress(stage, done, total):
        if stage == "segmentation" and done == planes:
            act()

    return progress


def stop():
    raise Stopped


# The result


@pytest.fixture
def two_planes(tmp_path, pixels):
    """Enough for features, which cost more."""
    return ImageFile(write_volume(tmp_path / "two.ome.zarr", pixels[:2]))


@pytest.mark.parametrize(
    ("config", "source"), [(QUICK, "volume"), (DEEP, "two_planes")], ids=["classical", "deep"]
)
def test_a_volume_gives_the_bytes_that_memory_gives(
    config, source, micrograph, scribbles, tmp_path, output, request
):
    volume = request.getfixturevalue(source)
    classifier = trained(config, micrograph, scribbles, tmp_path / "c.skops")
    made, planes = segment_volume(volume, classifier, output, device="cpu")
    labels = labels_of(output)
    assert made == planes == len(labels)
    expected = in_memory(volume, classifier)
    assert labels.dtype == expected.dtype
    assert np.array_equal(labels, expected)
    assert set(np.unique(labels)) == {1, 3}


def test_the_labels_lie_where_the_image_lies(volume, classifier, output):
    segment_volume(volume, classifier, output)
    image, labels = volume.read(), read_image(output)
    assert labels.axes == "ZYX"
    assert labels.placed == image.placed
    assert_placed(labels, image.pixel_size, (40, -3.5, 7))


def assert_placed(labels, size, starts):
    assert labels.pixel_size == size
    places = labels.placed.values()
    assert [place.translation for place in places] == pytest.approx(starts)
    assert [place.scale for place in places] == pytest.approx(astuple(size)[1:])


def test_labels_have_the_pixel_size_given_and_lie_where_the_image_lies(volume, classifier, output):
    source = replace(volume, pixel_size=PixelSize("µm", None, 0.01, 0.01))
    segment_volume(source, classifier, output)
    assert_placed(read_image(output), source.read().pixel_size, (0.04, -0.0035, 0.007))


def test_what_starts_at_a_length_without_a_unit_starts_at_the_same_pixel(
    volume, classifier, output
):
    group = zarr.open_group(volume.path)
    ome = group.attrs["ome"]
    for axis in ome["multiscales"][0]["axes"]:
        del axis["unit"]
    group.attrs["ome"] = ome
    segment_volume(replace(volume, pixel_size=PixelSize("nm", None, 10, 10)), classifier, output)
    placed = read_image(output).placed
    assert placed["z"] == Placement(20, 40)
    assert placed["y"] == Placement(10, -7, "nanometer")


def test_a_region_of_a_volume_gives_the_bytes_that_memory_gives(volume, classifier, output):
    source = replace(volume, region=np.s_[:-40, 10:])
    segment_volume(source, classifier, output)
    labels = labels_of(output)
    assert np.array_equal(labels, in_memory(source, classifier))
    assert labels[:, :-40, 10:].all()
    assert not labels[:, -40:].any()
    assert not labels[..., :10].any()


def test_a_file_without_translation_gives_its_pixel_size(pixels, classifier, output, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    size = {f"PhysicalSize{a}": s for a, s in zip("ZYX", (20.0, 5.0, 5.0), strict=True)}
    size |= {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    path = tmp_path / "v.ome.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX", **size})
    segment_volume(ImageFile(path), classifier, output)
    assert read_image(output).pixel_size == read_image(path).pixel_size
    assert np.array_equal(labels_of(output), in_memory(ImageFile(path), classifier))


def test_coarser_levels_keep_every_second_pixel_where_it_lies(
    micrograph_pixels, classifier, output, tmp_path
):
    wide = np.tile(micrograph_pixels, (1, 4))[None, :20]  # 20 x 680
    path = write_volume(tmp_path / "wide.zarr", np.concatenate([wide, wide]))
    segment_volume(ImageFile(path), classifier, output)
    assert np.array_equal(labels_of(output, 1), labels_of(output)[:, ::2, ::2])
    [scales] = zarr.open_group(output).attrs["ome"]["multiscales"]
    scale, translation = scales["datasets"][1]["coordinateTransformations"]
    assert scale["scale"] == [20.0, 10.0, 10.0]
    assert translation["translation"] == [40.0, -3.5, 7.0]


def test_names_and_colours_of_classes_are_kept_for_viewers(volume, classifier, output):
    segment_volume(volume, classifier, output)
    told = zarr.open_group(output).attrs["ome"]["image-label"]
    assert [entry["label-value"] for entry in told["colors"]] == [1, 3]
    assert told["properties"][1] == {"label-value": 3, "name": "class 3"}


def test_the_result_can_be_looked_at_while_it_grows(volume, classifier, output):
    seen = []
    look = after(2, lambda: seen.append(np.asarray(read_image(output).data)))
    segment_volume(volume, classifier, output, progress=look)
    done = [bool(plane.all()) for plane in seen[0]]
    assert 2 <= sum(done) < PLANES
    empty = [not plane.any() for plane in seen[0]]
    assert all(one or other for one, other in zip(done, empty, strict=True))


def test_colour_planes_and_time_are_kept_in_order(pixels, scribbles, micrograph_pixels, tmp_path):
    colour = as_micrograph(np.dstack([micrograph_pixels] * 3), "YXS", (0, 1, 2))
    path = trained(QUICK, colour, scribbles, tmp_path / "c.skops")
    array = np.stack([pixels[:4]] * 3, axis=-1).reshape(2, 2, *pixels.shape[1:], 3)
    zarr.create_array(tmp_path / "v.zarr", data=array, chunks=(1, 1, 64, 64, 3))
    source = ImageFile(tmp_path / "v.zarr", axes="TZYXS", channels=(0, 1, 2))
    segment_volume(source, path, tmp_path / "o.zarr")
    labels = labels_of(tmp_path / "o.zarr")
    assert labels.shape == (2, 2, *pixels.shape[1:])
    assert np.array_equal(labels.reshape(pixels[:4].shape), in_memory(source, path))


# Resuming


def test_a_stopped_run_goes_on_and_computes_no_plane_twice(volume, classifier, output):
    with pytest.raises(Stopped):
        segment_volume(volume, classifier, output, progress=after(2, stop))
    before = entries(output)
    assert 2 <= len(before) < PLANES
    assert segment_volume(volume, classifier, output) == (PLANES - len(before), PLANES)
    assert before.items() <= entries(output).items()
    assert np.array_equal(labels_of(output), in_memory(volume, classifier))
    assert segment_volume(volume, classifier, output) == (0, PLANES)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_second_run_is_refused_until_kill_9_ends_the_first_and_then_goes_on(
    pixels, classifier, output, tmp_path, capsys
):
    volume = ImageFile(write_volume(tmp_path / "long.zarr", np.tile(pixels, (4, 1, 2))))
    command = ["apply", str(classifier), str(volume.path), "--output", str(output)]
    process = subprocess.Popen([sys.executable, "-m", "napari_alibi_seg", *command])
    while len(entries(output)) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    assert main(command) == 7
    [said] = capsys.readouterr().err.splitlines()
    assert "Another run is writing" in said
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    before = entries(output)
    assert 4 <= len(before) < 24
    assert main(command) == 0
    assert f"{24 - len(before)} of 24 planes" in capsys.readouterr().out
    assert before.items() <= entries(output).items()
    assert np.array_equal(labels_of(output), in_memory(volume, classifier))


def test_another_image_reading_classifier_or_version_is_refused(
    volume, classifier, output, pixels, micrograph, scribbles, tmp_path, monkeypatch
):
    segment_volume(volume, classifier, output)
    done = entries(output)
    other = ImageFile(write_volume(tmp_path / "other.zarr", pixels[::-1]))
    with pytest.raises(OutputError, match="begun by a run that differs in image"):
        segment_volume(other, classifier, output)
    for reading in ({"pixel_size": PixelSize("nm", None, 10, 10)}, {"region": np.s_[:-40, :]}):
        with pytest.raises(OutputError, match="begun by a run that differs in settings"):
            segment_volume(replace(volume, **reading), classifier, output)
    again = trained(replace(QUICK, seed=7), micrograph, scribbles, tmp_path / "again.skops")
    with pytest.raises(OutputError, match="begun by a run that differs in classifier"):
        segment_volume(volume, again, output)
    monkeypatch.setattr("napari_alibi_seg.core.runs.planewise._PROGRAM", "napari-alibi-seg 0.0")
    with pytest.raises(OutputError, match="begun by a run that differs in program"):
        segment_volume(volume, classifier, output)
    assert entries(output) == done


def test_planes_of_two_precisions_are_never_mixed(
    two_planes, micrograph, scribbles, tmp_path, output, monkeypatch
):
    deep = trained(DEEP, micrograph, scribbles, tmp_path / "c.skops")
    jobs = []
    keep = "napari_alibi_seg.core.runs.planewise.load_job"
    monkeypatch.setattr(keep, lambda job: jobs.append(job) or load_job(job))
    monkeypatch.setattr(f"{keep}.cache_clear", load_job.cache_clear, raising=False)
    segment_volume(two_planes, deep, output, device="cpu")
    done = entries(output)

    gpu = "napari_alibi_seg.core.runs.volumes.inference_dtype"
    monkeypatch.setattr(gpu, lambda _: "torch.float16")
    with pytest.raises(OutputError, match="begun by a run that differs in precision"):
        segment_volume(two_planes, deep, output, device="cpu")
    Ledger(output).folder.joinpath("planes/0000001.json").unlink()
    with pytest.raises(DeviceError, match="some have none"):
        make_plane(jobs[-1], 1, {1: ""}, "torch.float32", silent)
    assert set(done) - set(entries(output)) == {"0000001.json"}


@pytest.mark.parametrize("kept", ["plan.json", "nothing"])
def test_what_another_program_wrote_is_left_as_it_is(volume, classifier, output, pixels, kept):
    segment_volume(volume, classifier, output)
    shutil.rmtree(output)
    if kept == "nothing":
        shutil.rmtree(Ledger(output).folder)
    write_volume(output, pixels)
    with pytest.raises(OutputError, match="choose another name"):
        segment_volume(volume, classifier, output)
    assert np.array_equal(labels_of(output), pixels)


def test_a_result_whose_metadata_are_cut_short_is_told_and_left(volume, classifier, output):
    segment_volume(volume, classifier, output)
    finished = labels_of(output)
    (output / "zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(OutputError, match="was damaged"):
        segment_volume(volume, classifier, output)
    assert np.array_equal(zarr.open_array(output / "0", mode="r")[:], finished)


# Faults


def test_a_full_disk_is_explained_and_what_was_finished_stays(volume, classifier, output):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = after(2, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1])))
    try:
        with pytest.raises(OutputError, match=r"File too large.*free some space"):
            segment_volume(volume, classifier, output, progress=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    done = entries(output)
    assert 2 <= len(done) < PLANES
    assert segment_volume(volume, classifier, output) == (PLANES - len(done), PLANES)
    assert done.items() <= entries(output).items()
    assert np.array_equal(labels_of(output), in_memory(volume, classifier))


def test_an_output_that_cannot_be_written_is_known_before_the_work(volume, classifier, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"):
        segment_volume(volume, classifier, tmp_path / "file/labels.zarr", progress=after(0, stop))


def test_an_output_that_becomes_read_only_is_explained(volume, classifier, output):
    with pytest.raises(Stopped):
        segment_volume(volume, classifier, output, progress=after(2, stop))
    shutil.rmtree(output / "0/c")  # between two runs, when no thread makes it anew
    (output / "0/c").touch()

    with pytest.raises(OutputError, match=r"labels\.ome\.zarr could not be written"):
        segment_volume(volume, classifier, output)


def test_a_truncated_chunk_of_the_image_is_named_before_the_work(volume, classifier, output):
    chunk = volume.path / "0/c/1/0/1"
    chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(
        ImageError, match=r"volume\.ome\.zarr cannot be read at \[2:4, 0:64, 64:128\]"
    ):
        segment_volume(volume, classifier, output)
    assert not output.exists()
    assert not Ledger(output).folder.exists()


def test_what_is_damaged_or_deleted_of_a_result_is_made_again_and_no_more(
    volume, classifier, output
):
    segment_volume(volume, classifier, output)
    chunk = output / "0/c/4/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    assert segment_volume(volume, classifier, output) == (1, PLANES)
    assert chunk.read_bytes() == whole
    (Ledger(output).folder / "planes/0000003.json").write_text(json.dumps({"result": "?"})[:5])
    assert segment_volume(volume, classifier, output) == (1, PLANES)
    shutil.rmtree(output)
    assert segment_volume(volume, classifier, output) == (PLANES, PLANES)


def test_an_image_that_changes_meanwhile_is_noticed(volume, classifier, output, pixels):
    array = zarr.open_array(volume.path / "0", mode="r+")

    def change():
        array[5, 7, 7] = ~pixels[5, 7, 7]

    with pytest.raises(ImageError, match=r"Plane 5 of .* changed"):
        segment_volume(volume, classifier, output, progress=after(1, change))
    done = entries(output)
    assert "0000005.json" not in done
    with pytest.raises(OutputError, match="begun by a run that differs in image"):
        segment_volume(volume, classifier, output)
    array[5] = pixels[5]
    assert segment_volume(volume, classifier, output) == (PLANES - len(done), PLANES)
    assert np.array_equal(labels_of(output), in_memory(volume, classifier))


@pytest.fixture
def through(pixels, tmp_path):
    """A classifier by 3-D filters, which reach three planes far where voxels are 20 x 5 x 5 nm."""
    image = replace(as_micrograph(pixels, "ZYX"), spacing=4.0)
    scribbles = np.zeros(pixels.shape, np.uint8)
    scribbles[::2, ::9, ::4] = np.where(pixels > 110, 1, 0)[::2, ::9, ::4]
    scribbles[::2, 4::9, ::4] = np.where(pixels < 60, 3, 0)[::2, 4::9, ::4]
    config = replace(QUICK, channels=ChannelConfig(sigmas=(1.0,), sigmas_3d=SIGMAS_3D))
    return trained(config, image, scribbles, tmp_path / "through.skops")


def test_3d_filters_give_the_bytes_that_memory_gives(volume, through, output, tmp_path):
    segment_volume(volume, through, output)
    expected = in_memory(volume, through)
    assert np.array_equal(labels_of(output), expected)
    cubes = tmp_path / "cubes.ome.zarr"
    segment_volume(replace(volume, spacing=1.0), through, cubes)
    assert np.array_equal(labels_of(cubes), in_memory(replace(volume, spacing=1.0), through))
    assert not np.array_equal(labels_of(cubes), expected)
    with pytest.raises(OutputError, match="begun by a run that differs"):
        segment_volume(replace(volume, spacing=1.0), through, output)


def test_a_plane_that_3d_filters_look_at_is_watched_too(volume, through, output, pixels):
    array = zarr.open_array(volume.path / "0", mode="r+")

    def change():
        array[5, 7, 7] = ~pixels[5, 7, 7]

    with pytest.raises(ImageError, match=r"Plane 5 of .* changed"):
        segment_volume(volume, through, output, progress=after(1, change))
    done = {int(name.removesuffix(".json")) for name in entries(output)}
    array[5] = pixels[5]
    assert done <= {0, 1, 2, 3}
    assert segment_volume(volume, through, output) == (PLANES - len(done), PLANES)
    assert np.array_equal(labels_of(output), in_memory(volume, through))


def test_a_volume_whose_planes_have_no_neighbours_is_refused_at_once(through, output, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "times.tif", np.zeros((5, 40, 40), np.uint8))
    with pytest.raises(ImageError, match="no axis Z"):
        segment_volume(ImageFile(tmp_path / "times.tif", axes="TYX"), through, output)
    assert not output.exists()


# A cluster


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        imported_once = ["distributed", "napari_alibi_seg.core.runs.volumes", "timm"]
        distributed.utils.get_mp_context().set_forkserver_preload(imported_once)
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0"
        ) as running:
            yield running


def pids(client):
    return client.run(os.getpid)


def loads():
    return load_job.cache_info().misses


def held():
    return load_job.cache_info().currsize


def test_a_cluster_gives_the_same_bytes_and_holds_weights_loaded_once_per_worker_while_it_runs(
    cluster, pixels, micrograph, scribbles, tmp_path, output
):
    from distributed import Client

    volume = ImageFile(write_volume(tmp_path / "wide.ome.zarr", np.tile(pixels[:4], (1, 1, 4))))
    classifier = trained(DEEP, micrograph, scribbles, tmp_path / "c.skops")
    address = cluster.scheduler_address
    with Client(address, set_as_default=False) as client:
        found = []
        look = after(4, lambda: found.extend(client.run(loads).values()))
        made = segment_volume(
            volume, classifier, output, device="cpu", cluster=address, progress=look
        )
        assert made == (4, 4)
        assert found == [1, 1]
        assert [*client.run(held).values()] == [0, 0]
    local = tmp_path / "local.ome.zarr"
    segment_volume(volume, classifier, local, device="cpu")
    chunks = [path for path in local.glob("*/c/**/*") if path.is_file()]
    assert {path.relative_to(local).parts[0] for path in chunks} == {"0", "1"}
    for chunk in chunks:
        assert (output / chunk.relative_to(local)).read_bytes() == chunk.read_bytes()


def test_errors_of_workers_arrive_as_they_are(cluster, volume, classifier, output, pixels):
    array = zarr.open_array(volume.path / "0", mode="r+")

    def change(stage, done, total):
        if (stage, done) == ("checking", total):
            array[5, 7, 7] = ~pixels[5, 7, 7]

    address = cluster.scheduler_address
    with pytest.raises(ImageError, match=r"Plane 5 of .* changed"):
        segment_volume(volume, classifier, output, cluster=address, progress=change)


def test_a_cluster_that_is_not_there_is_explained(volume, classifier, output, monkeypatch):
    monkeypatch.setattr("napari_alibi_seg.core.runs.cluster._PATIENCE", 1)
    with pytest.raises(DeviceError, match="No cluster answers"):
        segment_volume(volume, classifier, output, cluster="tcp://127.0.0.1:9")


def test_features_of_a_cluster_are_those_computed_here(cluster, two_planes, tmp_path):
    here, there = tmp_path / "here.zarr", tmp_path / "there.zarr"
    for output, address in ((here, None), (there, cluster.scheduler_address)):
        made = write_features(two_planes, output, DEFAULT_MODEL, 1, device="cpu", cluster=address)
        assert made == (2, 2)
    features = [zarr.open_array(output, mode="r") for output in (here, there)]
    assert np.array_equal(*map(np.asarray, features))
    assert features[0].attrs.asdict() == features[1].attrs.asdict()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_survives_a_worker_that_is_killed(cluster, pixels, classifier, output, tmp_path):
    from distributed import Client

    volume = ImageFile(write_volume(tmp_path / "long.zarr", np.tile(pixels, (4, 1, 2))))
    made = []
    run = Thread(
        target=lambda: made.append(
            segment_volume(volume, classifier, output, cluster=cluster.scheduler_address)
        )
    )
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        victim = min(pids(client).values())
        run.start()
        while len(entries(output)) < 4:
            assert run.is_alive()
            time.sleep(0.01)
        before = entries(output)
        os.kill(victim, signal.SIGKILL)
        run.join(timeout=120)
    assert len(made) == 1
    assert before.items() <= entries(output).items()
    assert np.array_equal(labels_of(output), in_memory(volume, classifier))
