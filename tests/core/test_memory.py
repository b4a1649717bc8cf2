import os
import signal
import subprocess
import sys

import pytest

SHORT_OF_MEMORY = """
import os, resource
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # each thread takes address space

import numpy as np
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.live.engine import LiveEngine
from napari_alibi_seg.core.live.records import LiveRequest, PlaneDone, ResultBlock
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.config import SegmentationConfig

WHOLE = Window(0, 0, 500, 500)
pixels = np.random.default_rng(0).random((500, 500), np.float32)
painted = np.zeros(pixels.shape, np.uint8)
painted[5, :20], painted[300, :20] = 1, 2
config = SegmentationConfig("classical", trees=10, smoothing=1)


def segmented():
    request = LiveRequest(as_micrograph(pixels), painted, config, ((),), WHOLE)
    labels, side = np.zeros_like(painted), 0
    for event in LiveEngine("cpu").update(request):
        if isinstance(event, ResultBlock) and event.final:
            labels[event.window.slices] = event.result.labels
            side = max(side, event.window.height)
        elif isinstance(event, PlaneDone):
            assert sum(event.pixels.values()) == pixels.size, event.pixels
    return labels, side


def with_room_for(megabytes):
    [bytearray(2**15) for _ in range(500)]  # numpy crashes where its small buffers find no room
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))
    try:
        return segmented()
    except AlibiSegError as error:
        return str(error), 0
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


expected, large = segmented()
told, side = with_room_for(10)  # before what is freed later leaves more room
assert side == 0 and "not enough memory" in told, (side, told)
tried, few, many = {}, 10, 120
while few + 1 < many:
    megabytes = (few + many) // 2
    labels, side = with_room_for(megabytes)
    tried[megabytes] = side
    if 0 < side < large:
        break
    few, many = (few, megabytes) if side else (megabytes, many)
assert large == 256 and 0 < side < large, tried
assert np.array_equal(labels, expected)
"""


ONLY_ARRAYS_GIVE_BACK_THEIR_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}


@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit that only Linux keeps to")
def test_the_engine_goes_on_in_smaller_blocks_and_then_says_that_memory_lacks():
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", SHORT_OF_MEMORY],
            env={**os.environ, "OMP_NUM_THREADS": "1", **ONLY_ARRAYS_GIVE_BACK_THEIR_MEMORY},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != -signal.SIGSEGV:  # of a library that did not check an allocation
            break
    assert done.returncode == 0, done.stderr
