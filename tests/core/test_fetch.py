"""Against a server on this machine that answers as the hub does; the hub itself is not reached."""

import hashlib
import re
import socket
import sys
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from huggingface_hub.utils import enable_progress_bars

from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.model.fetch import HubFile, cached, fetch

WEIGHTS = HubFile("someone/some-model", "weights.pth")
CONTENT = bytes(range(256)) * 60_000


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, state, *args):
        self.state = state
        super().__init__(*args)

    def do_HEAD(self):
        self.state["asked"].append("HEAD")
        self._head(200, len(CONTENT))

    def do_GET(self):
        start = int(re.findall(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[0])
        self.state["asked"].append(start)
        body = self.state["content"][start:]
        self._head(206 if start else 200, len(body), start)
        if self.state["breaks"]:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body[: self.state["break_after"]])
        self.close_connection = self.state["break_after"] is not None
        self.state["break_after"] = None

    def _head(self, status, length, start=0):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ALIBI_SEG_CACHE", str(tmp_path))
    state = {"asked": [], "content": CONTENT, "break_after": None, "breaks": False}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, state))
    Thread(target=server.serve_forever, daemon=True).start()
    state["endpoint"] = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def impatient(monkeypatch):
    """The hub's client tries several times, and waits longer each time."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_a_file_is_fetched_once_into_the_documented_place(hub, tmp_path):
    assert cached(WEIGHTS) is None
    path = fetch(WEIGHTS, hub["endpoint"])
    assert path == tmp_path / "weights/someone--some-model/weights.pth" == cached(WEIGHTS)
    assert path.read_bytes() == CONTENT
    hub["asked"].clear()
    assert fetch(WEIGHTS, hub["endpoint"]) == path
    assert hub["asked"] == []


def test_a_file_is_fetched_where_there_is_no_console(hub, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        assert fetch(WEIGHTS, hub["endpoint"]).read_bytes() == CONTENT
    enable_progress_bars()


def test_an_interrupted_download_is_resumed_where_it_broke(hub, impatient):
    hub["break_after"] = 12_000_000
    path = None
    for _ in range(2):  # the library may resume by itself, or when asked again
        if path is None:
            try:
                path = fetch(WEIGHTS, hub["endpoint"])
            except ModelError:
                assert cached(WEIGHTS) is None
    assert path.read_bytes() == CONTENT
    starts = [start for start in hub["asked"] if start != "HEAD"]
    assert starts[0] == 0
    assert starts[-1] > 0


def test_a_connection_that_breaks_is_told_of(hub, impatient):
    hub["breaks"] = True
    with pytest.raises(ModelError, match="try again"):
        fetch(WEIGHTS, hub["endpoint"])


def test_a_file_with_another_sha256_never_gets_in(hub):
    hub["content"] = CONTENT[:-1] + b"x"
    with pytest.raises(ModelError, match="SHA-256"):
        fetch(WEIGHTS, hub["endpoint"])
    assert cached(WEIGHTS) is None
    hub["content"] = CONTENT
    assert fetch(WEIGHTS, hub["endpoint"]).read_bytes() == CONTENT


def test_without_a_network_the_place_for_a_local_file_is_named(tmp_path, monkeypatch, impatient):
    monkeypatch.setenv("NAPARI_ALIBI_SEG_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"weights\.pth yourself"):
        fetch(WEIGHTS, "http://127.0.0.1:9")
