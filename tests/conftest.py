import csv
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config):
    # Without a display Qt aborts the interpreter in the middle of the run, without a word.
    if sys.platform == "linux" and not os.environ.get("DISPLAY") and not shutil.which("Xvfb"):
        raise pytest.UsageError(
            "The tests of the window need a display: install Xvfb (apt-get install xvfb)."
        )
    folder = Path(tempfile.mkdtemp(prefix="napari-alibi-seg-tests-"))
    os.environ["NAPARI_CONFIG"] = str(folder / "settings.yaml")
    os.environ["NAPARI_ALIBI_SEG_DATA"] = str(folder / "data")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session")
def rows():
    """Return a reader of the rows of a CSV file, each a dict of text."""

    def read(path):
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def heed_signals():
    """Return what undoes, in a new process, what a shell does to jobs in the background."""
    return lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
