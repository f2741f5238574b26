"""Images of one's own in MNIST's place: found, named by their checksum, refused if they do not fit, and trained on."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import Command
from dvae_bench.bench import protocols
from dvae_bench.bench.protocols.reproduce import Reproduction
from dvae_bench.bench.report.figures import samples
from dvae_bench.bench.report.rows import prepare
from dvae_bench.bench.report.view import View
from dvae_bench.bench.rows import row
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae.datasets import TEST, TRAIN, load_mnist, look_in
from dvae_bench.tasks.vae.mnist_half import MnistHalf
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.mnist_vq import MnistVq
from dvae_bench.tasks.vae.tiny_half import TinyHalf
from dvae_bench.tasks.vae.tiny_vae import TinyVae
from idx_files import FILES, forget, own_files, take_for_mnist


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """40 and 12 images of 6 x 5 pixels, in use."""
    folder = own_files(tmp_path / "mine")
    look_in(str(folder), own=True)
    return folder


def checksum(folder: Path) -> str:
    sums = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (TRAIN, TEST)]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:12]


def test_the_pixels_are_the_files_and_the_name_their_checksum(own: Path) -> None:
    dataset = load_mnist()
    assert (dataset.name, dataset.split) == (f"own-{checksum(own)}", "40/12")
    assert (dataset.height, dataset.width, dataset.upper) == (6, 5, 15)
    for name, images in ((TRAIN, dataset.train), (TEST, dataset.test)):
        payload = (own / name).read_bytes()
        assert images.numpy().tobytes() == payload[16:] and images.shape == (struct.unpack(">i", payload[4:8])[0], 30)
    assert load_mnist("50k/10k/10k").split == "28/12/12"
    torch.testing.assert_close(dataset.mean, dataset.train.float().mean(0) / 255)


def test_gzip_and_a_folder_inside_change_neither_pixels_nor_name(own: Path, tmp_path: Path) -> None:
    plain = load_mnist()
    (tmp_path / "packed" / "mnist").mkdir(parents=True)
    for name in (TRAIN, TEST):
        packed = gzip.compress((own / name).read_bytes())
        (tmp_path / "packed" / "mnist" / f"{name}.gz").write_bytes(packed)
    look_in(str(tmp_path / "packed"), own=True)
    assert load_mnist().name == plain.name and torch.equal(load_mnist().train, plain.train)
    changed = bytearray((own / TEST).read_bytes())
    changed[-1] ^= 1
    (own / TEST).write_bytes(changed)
    look_in(str(own), own=True)
    forget()
    assert load_mnist().name == f"own-{checksum(own)}" != plain.name


def test_both_files_are_of_one_place(own: Path) -> None:
    """A single file in the folder inside is none of a pair."""
    whole = load_mnist()
    (own / "mnist").mkdir()
    (own / "mnist" / TRAIN).write_bytes((own / TEST).read_bytes())
    forget()
    look_in(str(own), own=True)
    assert load_mnist().name == whole.name and torch.equal(load_mnist().train, whole.train)


def test_mnist_itself_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_for_mnist(monkeypatch)
    for name, payload in FILES.items():
        (tmp_path / name).write_bytes(payload)
    look_in(str(tmp_path), own=True)
    assert (load_mnist().name, load_mnist().split) == ("mnist", "60k/10k")


def idx(*shape: int, magic: int = 0x803) -> bytes:
    return struct.pack(f">{1 + len(shape)}i", magic, *shape) + bytes(int(np.prod(shape)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx(3, 6, 5)[:-1], "found 105 of the 106 bytes of 3 images of 6 x 5 pixels; write it again"),
        (idx(3, 6, 5) + b"0", "found 107 of the 106 bytes"),
        (idx(0, 6, 5), "no IDX file of images"),
        (idx(3, 6, 5, magic=0xD03), "no IDX file of images"),
        (b"label,pixel0", "found 12 bytes that are no IDX file of images; write it again"),
        (gzip.compress(idx(3, 6, 5), mtime=0)[:-9], "found nothing that can be read"),
        (idx(3, 5, 6), "3 images of 5 x 6 pixels, .* 12 images of 6 x 5 pixels: give both the same size"),
    ],
)
def test_files_that_do_not_fit_are_refused_in_one_sentence(own: Path, content: bytes, words: str) -> None:
    (own / TRAIN).write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        load_mnist()
    assert str(own / TRAIN) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_too_few_images_name_the_fix(own: Path, tmp_path: Path) -> None:
    look_in(str(own_files(tmp_path / "few", train=12)), own=True)
    with pytest.raises(
        UsageError, match="validation as there are for the test, 12, out of 12 for training; leave split"
    ):
        load_mnist("50k/10k/10k")
    (own / TEST).unlink()
    look_in(str(own), own=True)
    with pytest.raises(UsageError, match=f"--data is {own}, but {TRAIN}.* are not both there.*put them there$"):
        load_mnist()


def test_what_is_for_digits_alone_says_so(own: Path) -> None:
    with pytest.raises(
        UsageError, match="arch=conv is for images of 28 x 28 pixels, and these have 6 x 5; take arch=mlp"
    ):
        MnistVq(arch="conv", batch=8)
    with pytest.raises(UsageError, match="choose another binarisation for your own images"):
        MnistVae(binarisation="static-larochelle", batch=8)
    with pytest.raises(UsageError, match="batch must be at most 40"):
        MnistVae(batch=41)
    assert str(own)


def test_an_upper_half_needs_two_rows(tmp_path: Path) -> None:
    look_in(str(own_files(tmp_path / "row", height=1)), own=True)
    with pytest.raises(UsageError, match="images of at least two rows"):
        MnistHalf(batch=8)


@pytest.mark.parametrize(
    ("task", "name", "values"),
    [
        (MnistVae, "rloo", {"arch": "linear", "n": 4}),
        (MnistVae, "rloo", {"arch": "two-layer-linear", "n": 4, "likelihood": "gaussian", "binarisation": "none"}),
        (MnistHalf, "rloo", {"n": 4}),
        (MnistVq, "vq-st", {"codes": 4, "width": 2}),
    ],
)
def test_every_task_trains_on_images_of_another_size(own: Path, task: Any, name: str, values: dict[str, Any]) -> None:
    made = task(batch=8, lr=1e-2, **values)
    step, batches = TrainStep(made, build(name, *made.layers), seed=0), made.batches(stream(0, "data"))
    x = made.evaluation_images(made.train, 40)
    assert x.shape == (40, 30)
    elbos = []
    for _ in range(2):
        found = made.metrics(step.vae, x, stream(0, "evaluation"), 0, step.estimator)
        assert all(torch.isfinite(numbers).all() for numbers in found.values())
        elbos.append(float(found["elbo"].mean()))
        for _ in range(80):
            step(next(batches))
    assert elbos[1] > elbos[0]
    assert made.data == f"own-{checksum(own)}"


def test_the_upper_half_is_of_whole_rows(tmp_path: Path) -> None:
    """Of seven rows, the first three."""
    look_in(str(own_files(tmp_path / "odd", height=7)), own=True)
    model = MnistHalf(n=4, batch=8).model(0)
    assert (model.encoder.in_features, model.decoder[-1].out_features) == (15, 20)
    x = torch.rand(2, 35)
    assert torch.equal(model.completed(x, None)[:, :15], x[:, :15])


@pytest.mark.parametrize("toy", [TinyVae, TinyHalf])
def test_toys_on_digits_take_them_too(own: Path, toy: Any) -> None:
    mine = toy("cpu", torch.float64)
    look_in(None)
    assert mine.x.shape[-1] == 30 and mine.data == f"own-{checksum(own)}"
    assert all(torch.isfinite(exact).all() for exact in mine.exact().values())


@pytest.mark.parametrize(("height", "drawn"), [(6, True), (5, False)])
def test_square_images_of_any_size_are_shown(height: int, drawn: bool) -> None:
    about = {"estimator": "rloo", "task": "mnist-half", "source": "steps", "seed": 0, "data": "own-1", "device": "cpu"}
    grey = [float(level) for level in range(8 * height * 6)]
    kinds = ("images_original", "images_reconstruction")
    lines = [row(kind, 8, 8, step=3, blocks=grey) | about for kind in kinds]
    found = samples.plot(prepare(pd.DataFrame([*lines, row("elbo_test", -5.0, 8, step=3) | about])), View())
    if not drawn:
        assert found == "the stored images are not square"
        return
    assert not isinstance(found, str)
    shown = found.axes[0].images[0].get_array()
    assert shown.shape == (2 * height, 2 * 8 * 6)
    np.testing.assert_array_equal(shown[:6, :6], np.arange(36.0).reshape(6, 6))


class TestCommand:
    def test_a_run_names_the_images_in_its_rows_and_tables(self, command: Command, tmp_path: Path) -> None:
        folder, results = own_files(tmp_path / "mine", height=6, width=6), tmp_path / "r"
        run = ("run", "-e", "rloo", "-t", "mnist-half:n=4,batch=8", "--steps", 3, "-o", results, "--no-report")
        assert command(*run, "--data", folder).code == 0
        rows = Store.open(results).rows()
        trained = rows[rows["source"] == "steps"]
        assert set(trained["data"]) == {f"own-{checksum(folder)}"} and "images_original" in set(trained["metric"])
        assert set(rows.loc[rows["source"] == "clock", "data"]) == set(trained["data"])
        assert f"data own-{checksum(folder)}" in command(*run, "--data", folder, "--dry-run").out

    def test_a_protocol_of_ones_own_names_them(self, command: Command, tmp_path: Path) -> None:
        folder = own_files(tmp_path / "mine")
        (tmp_path / "mine.toml").write_text(
            f'about = "a"\ncitation = "c"\ntable = "t"\nnumbers = "none"\ndata = "own-{checksum(folder)}"\n'
            'task = "mnist-half"\nsteps = 2\nmetric = "elbo_train"\nseeds = 1\n[values]\nbatch = 8\nn = 4\n'
            '[settings]\none = {}\n[[methods]]\nmethod = "A"\nestimator = "rloo"\n'
        )
        look_in(str(folder), own=True)
        whole = Reproduction.prepare(
            protocols.load(str(tmp_path / "mine.toml")), None, None, None, "cpu", 1, tmp_path / "r"
        )
        assert whole.place.data == whole.protocol.data
        ended = command("reproduce", tmp_path / "mine.toml", "-o", tmp_path / "r", "--data", tmp_path)
        assert ended.refused(f"--data is {tmp_path}, but {TRAIN}(.gz) and {TEST}(.gz) are not both there")

    def test_two_folders_are_refused(self, command: Command, tmp_path: Path) -> None:
        ended = command("run", "-e", "rloo", "-t", "tiny-vae", "--data", tmp_path, "--data-dir", tmp_path)
        assert ended.refused("--data is a folder of your own images, --data-dir one of MNIST; give one of them")
