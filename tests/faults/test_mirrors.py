"""When a mirror is down, slow, cut short, endless or wrong, the next is asked, and no doubtful byte becomes data."""

from __future__ import annotations

import gc
import gzip
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae import datasets, idx, mirror
from dvae_bench.tasks.vae.datasets import TEST, TRAIN, load_mnist
from dvae_bench.tasks.vae.own_images import read_own
from hypothesis import strategies as st
from idx_files import FILES, files_in, nothing_found_yet, take_for_mnist

from .conftest import FUZZED, fuzz

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""pooch leaves the connection of a download that fails to the garbage collector."""


class Handler(BaseHTTPRequestHandler):
    """Serves FILES below /good/, and below /FAULT/ what the fault makes of them."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        fault, name = self.path.strip("/").split("/")
        content = gzip.compress(FILES[name.removesuffix(".gz")])
        self.send_response(404 if fault == "missing" else 200)
        if fault not in ("endless", "cut-unsaid"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        getattr(self, fault.replace("-", "_"), self.good)(content)

    def good(self, content: bytes) -> None:
        self.wfile.write(content)

    def cut(self, content: bytes) -> None:
        self.wfile.write(content[:-100])

    cut_unsaid = cut

    def wrong(self, content: bytes) -> None:
        self.wfile.write(bytes([*content[:200], content[200] ^ 1, *content[201:]]))

    def stuck(self, content: bytes) -> None:
        self.wfile.write(content[:10])
        self.server.over.wait(20)  # type: ignore[attr-defined]

    def trickle(self, content: bytes) -> None:
        for byte in content:
            self.wfile.write(bytes([byte]))
            if self.server.over.wait(0.02):  # type: ignore[attr-defined]
                return

    def endless(self, content: bytes) -> None:
        while not self.server.over.is_set():  # type: ignore[attr-defined]
            self.wfile.write(bytes(1 << 16))

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return  # the other side has given up

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.over = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty user cache, no data folder, and short limits."""
    take_for_mnist(monkeypatch)
    monkeypatch.setattr(mirror, "TIMEOUT", 1.0)
    monkeypatch.setattr(mirror, "PATIENCE", 2.0)
    monkeypatch.setattr(idx, "LARGEST", 8 << 20)
    for _ in nothing_found_yet(monkeypatch, tmp_path / "cache"):
        yield tmp_path / "cache"
    gc.collect()


FAULTS = ["missing", "cut", "cut-unsaid", "wrong", "stuck", "trickle", "endless"]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_is_asked(fault: str, server: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MIRRORS", (f"{server}{fault}/", f"{server}good/"))
    dataset = load_mnist()
    assert dataset.name == "mnist" and dataset.test.numpy().tobytes() == FILES[TEST][16:]
    assert files_in(place) == [f"{TEST}.gz", f"{TRAIN}.gz"]


def down() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def test_with_no_mirror_left_one_sentence_says_why(
    server: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "MIRRORS", (down(), f"{server}wrong/", f"{server}trickle/"))
    assert load_mnist().name == "mnist-5k"
    said = capsys.readouterr().err
    assert said.startswith("WARNING: ") and said.count("\n") == 1 and files_in(place) == []
    assert said.count("127.0.0.1: ") == 3 and "corrupt file" in said and "TimeoutError" in said


def test_every_mirror_is_asked_over_https() -> None:
    assert len(datasets.MIRRORS) >= 2 and all(address.startswith("https://") for address in datasets.MIRRORS)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A gzip of a gigabyte of zeros takes 1 MB: no more than the largest file of ours is unpacked."""
    (tmp_path / f"{TRAIN}.gz").write_bytes(gzip.compress(bytes(50 << 20), 1))
    assert len(idx.uncompressed(tmp_path / f"{TRAIN}.gz")) == 8 << 20


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An IDX file, plain or gzipped, with bytes changed, cut or put in; or junk; or gzipped junk."""
    plain = FILES[TEST]
    content = bytearray(draw(st.sampled_from([plain, gzip.compress(plain, 1, mtime=0), b"\x1f\x8b", b""])))
    content += draw(st.binary(max_size=8))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(content)))
        content[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    del content[draw(st.integers(0, len(content))) or len(content) :]
    return gzip.compress(bytes(content), 1, mtime=0) if draw(st.booleans()) else bytes(content)


@FUZZED
def test_no_damaged_file_is_read(examples: int, tmp_path: Path) -> None:
    """100,000: about 4 minutes."""
    path, unpack = tmp_path / f"{TEST}.gz", idx.uncompressed

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            images = datasets.read_idx(path, "do this")
        except UsageError as error:
            assert "SHA-256" in str(error) and str(error).endswith("do this") and "\n" not in str(error)
        else:
            assert unpack(path) == FILES[TEST] and images.shape == (10, 784)
        try:
            _, own, _, height, width = read_own(path, path, {})
        except UsageError as error:
            assert str(error).endswith("write it again") and "\n" not in str(error)
        else:
            assert own.numpy().tobytes() == unpack(path)[16:] and own.shape[1] == height * width

    fuzz(examples, damaged(), check)
