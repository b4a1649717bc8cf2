import subprocess
import sys
from time import sleep

import pytest

from napari_alibi_seg.core.errors import DeviceError
from napari_alibi_seg.core.runs.cluster import connected, on_cluster

pytest.importorskip("distributed")


@pytest.fixture
def running(tmp_path):
    """The address of a scheduler, and the processes of it and its only worker."""
    processes = {}

    def start(name, *options):
        command = [sys.executable, "-m", "dask", name, *options, "--no-dashboard"]
        processes[name] = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        return processes[name].stderr

    try:
        said = start("scheduler", "--host", "127.0.0.1", "--port", "0")
        address = next(line.split()[-1] for line in said if "Scheduler at:" in line)
        start("worker", address, "--no-nanny", "--nthreads", "1", "--local-directory", "scratch")
        yield address, processes
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("victim", "said"), [("worker", "lost its last worker"), ("scheduler", "lost its scheduler")]
)
def test_a_cluster_that_is_lost_ends_the_run_in_one_sentence(
    running, monkeypatch, capfd, victim, said
):
    address, processes = running
    waited = []
    with connected(address) as client:
        monkeypatch.setattr("napari_alibi_seg.core.runs.cluster._PATIENCE", 3)
        with pytest.raises(DeviceError, match=said):
            on_cluster(
                sleep,
                [(0.1,)] * 100,
                lambda done: processes[victim].kill(),
                client,
                lambda *told: waited.append(told),
            )
    assert "Traceback" not in capfd.readouterr().err
    assert waited or victim == "scheduler"  # which takes all that was begun with it
    assert all(told[0] == "waiting for workers" and told[1] < told[2] for told in waited)


@pytest.mark.parametrize("address", ["nonsense", "http://host:8786", "tcp://host", ""])
def test_what_is_no_address_is_told_at_once(address, monkeypatch):
    monkeypatch.setattr("distributed.Client", None)  # one that fails holds the program up
    with pytest.raises(DeviceError, match=r"No cluster answers at .* like tcp://HOST:8786"):
        connected(address).__enter__()
