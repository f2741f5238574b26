"""Finding, reading and preprocessing MNIST; nothing here touches the network."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from dvae_bench.estimators.names import UsageError
from dvae_bench.tasks.vae import binarise, datasets, mirror
from dvae_bench.tasks.vae.binarise import BINARISATIONS, prepare, to_batch
from dvae_bench.tasks.vae.datasets import DATA_VARIABLE, MIRRORS, TEST, TRAIN, Dataset, load_mnist
from idx_files import FILES, files_in, forget, nothing_found_yet, take_for_mnist

ENVIRONMENT = os.environ.get(DATA_VARIABLE)
DEVELOPERS_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
answers = mirror.answers


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """And no network."""

    def refuse(url: str, path: Path | None = None) -> bool:
        raise AssertionError(f"a test reached for {url}")

    monkeypatch.setattr(mirror, "answers", refuse)
    monkeypatch.setattr(mirror, "fetch", refuse)
    yield from nothing_found_yet(monkeypatch, tmp_path / "cache")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Two small IDX files that are taken for the real ones."""
    take_for_mnist(monkeypatch)
    return FILES


@pytest.fixture
def folder(small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with both files gzipped in its mnist/, set as DVAE_BENCH_DATA."""
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    for name, payload in small.items():
        (tmp_path / "data" / "mnist" / f"{name}.gz").write_bytes(gzip.compress(payload))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def full_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    value = ENVIRONMENT or str(DEVELOPERS_DATA)
    if value == "embedded" or not Path(value).expanduser().is_dir():
        pytest.skip(f"full MNIST: set {DATA_VARIABLE} to a folder with its files")
    monkeypatch.setenv(DATA_VARIABLE, value)


def images_of(payload: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(payload[16:]), dtype=torch.uint8).view(-1, 784)


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.train), len(dataset.valid), len(dataset.test)


# --- the full set ---


def test_full_mnist_has_the_published_sizes_and_mean(full_mnist: None) -> None:
    whole, held_out = load_mnist("60k/10k"), load_mnist("50k/10k/10k")
    assert (whole.name, whole.split, sizes(whole)) == ("mnist", "60k/10k", (60000, 0, 10000))
    assert (held_out.name, held_out.split, sizes(held_out)) == ("mnist", "50k/10k/10k", (50000, 10000, 10000))
    assert whole.train.dtype == torch.uint8 and whole.mean.dtype == torch.float32
    assert whole.mean.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert torch.equal(torch.cat([held_out.train, held_out.valid]), whole.train)


def test_embedded_images_are_training_images_of_the_full_set(full_mnist: None, monkeypatch: pytest.MonkeyPatch) -> None:
    full = load_mnist()
    monkeypatch.setenv(DATA_VARIABLE, "embedded")
    subset = load_mnist()
    training = {row.tobytes() for row in full.train.numpy()}
    test = {row.tobytes() for row in full.test.numpy()}
    rows = {row.tobytes() for row in torch.cat([subset.train, subset.test]).numpy()}
    assert len(rows) == 5000 and rows <= training and not rows & test


# --- the embedded subset ---


@pytest.mark.parametrize(
    ("split", "stated", "expected"),
    [("60k/10k", "4500/500", (4500, 0, 500)), ("50k/10k/10k", "4000/500/500", (4000, 500, 500))],
)
def test_embedded_splits_state_their_real_sizes(
    split: str,
    stated: str,
    expected: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, "embedded")
    dataset = load_mnist(split)
    assert (dataset.name, dataset.split, sizes(dataset)) == ("mnist-5k", stated, expected)
    assert dataset.valid.shape[1:] == (784,)
    assert capsys.readouterr().err == ""


def test_embedded_file_is_the_pinned_one_and_small() -> None:
    payload = gzip.decompress(datasets.EMBEDDED.read_bytes())
    assert hashlib.sha256(payload).hexdigest() == datasets.SHA256["mnist-5k-images-idx3-ubyte"]
    assert struct.unpack(">4i", payload[:16]) == (0x803, 5000, 28, 28)
    assert datasets.EMBEDDED.stat().st_size < 1.2e6
    attribution = (datasets.EMBEDDED.parent / "ATTRIBUTION.md").read_text()
    assert datasets.SHA256["mnist-5k-images-idx3-ubyte"] in attribution


def test_corrupt_embedded_file_says_to_reinstall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / datasets.EMBEDDED.name
    damaged.write_bytes(datasets.EMBEDDED.read_bytes()[:-9])
    monkeypatch.setattr(datasets, "EMBEDDED", damaged)
    monkeypatch.setenv(DATA_VARIABLE, "embedded")
    with pytest.raises(UsageError, match=r"expected 5000 images.*found nothing that can be read.*reinstall"):
        load_mnist()


# --- a folder ---


@pytest.mark.parametrize("inside", ["mnist", "."])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_folder_may_be_mnist_or_hold_it_and_files_may_be_gzipped(
    inside: str, ending: str, small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnist").mkdir()
    for name, payload in small.items():
        content = gzip.compress(payload) if ending else payload
        (tmp_path / inside / (name + ending)).write_bytes(content)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    dataset = load_mnist()
    assert dataset.name == "mnist"
    assert torch.equal(dataset.train, images_of(small[TRAIN]))
    assert torch.equal(dataset.test, images_of(small[TEST]))


def test_validation_images_are_the_last_of_the_training_images(folder: Path, small: dict[str, bytes]) -> None:
    dataset = load_mnist("50k/10k/10k")
    assert sizes(dataset) == (50, 10, 10)
    assert torch.equal(torch.cat([dataset.train, dataset.valid]), images_of(small[TRAIN]))


def test_mean_is_that_of_the_training_images(folder: Path, small: dict[str, bytes]) -> None:
    expected = images_of(small[TRAIN]).double().mean(0) / 255
    torch.testing.assert_close(load_mnist().mean, expected.float())


def test_to_moves_every_part(folder: Path) -> None:
    moved = load_mnist().to("meta")
    assert {part.device.type for part in (moved.train, moved.valid, moved.test)} == {"meta"}


def test_read_once_a_process(folder: Path) -> None:
    assert load_mnist() is load_mnist()
    assert load_mnist("50k/10k/10k").test.data_ptr() == load_mnist().test.data_ptr()


def test_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="60k/10k, 50k/10k/10k"):
        load_mnist("55k/5k/10k")


@pytest.mark.parametrize("missing", [(TRAIN,), (TEST,), (TRAIN, TEST)])
def test_folder_without_the_files_is_named_with_them(folder: Path, missing: tuple[str, ...]) -> None:
    for name in missing:
        (folder / "mnist" / f"{name}.gz").unlink()
    with pytest.raises(UsageError) as caught:
        load_mnist()
    assert all(word in str(caught.value) for word in (str(folder), TRAIN, TEST, DATA_VARIABLE))


def test_folder_that_does_not_exist_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="nowhere"):
        load_mnist()


def _flipped(payload: bytes) -> bytes:
    return payload[:1000] + bytes([payload[1000] ^ 1]) + payload[1001:]


DAMAGES = {
    "truncated-gz": lambda payload: gzip.compress(payload)[:-100],
    "corrupt-gz": lambda payload: gzip.compress(payload)[:500] + b"\0" * 50 + gzip.compress(payload)[550:],
    "gz-header-only": lambda payload: b"\x1f\x8b\x08",
    "empty": lambda payload: b"",
    "not-gz": lambda payload: b"<html>sign in to this network</html>",
    "short-payload": lambda payload: gzip.compress(payload[:-784]),
    "long-payload": lambda payload: gzip.compress(payload + b"\0"),
    "wrong-pixel": lambda payload: gzip.compress(_flipped(payload)),
    "wrong-magic": lambda payload: gzip.compress(b"\0\0\x08\x01" + payload[4:]),
    "plain-wrong-pixel": _flipped,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [TRAIN, TEST])
def test_damaged_file_is_named_and_never_used(damage: str, name: str, folder: Path, small: dict[str, bytes]) -> None:
    path = folder / "mnist" / f"{name}.gz"
    path.write_bytes(DAMAGES[damage](small[name]))
    with pytest.raises(UsageError) as caught:
        load_mnist()
    told = str(caught.value)
    assert all(word in told for word in (str(path), f"expected {datasets.COUNTS[name]} images", "found", DATA_VARIABLE))
    assert "delete" not in told, "the file may be the user's own"


def idx(*shape: int) -> bytes:
    return struct.pack(f">{1 + len(shape)}i", 0x800 + len(shape), *shape) + bytes(math.prod(shape))


OWN = {
    "small": (idx(7, 28, 28), "7 images of 28 x 28 pixels"),
    "wide": (idx(3, 32, 40), "3 images of 32 x 40 pixels"),
    "cut": (idx(3, 28, 28)[:-9], "2359 of the 2368 bytes of 3 images of 28 x 28 pixels"),
    "labels": (idx(60), "68 bytes that are no IDX file of images"),
    "text": (b"label,pixel0\n", "13 bytes that are no IDX file of images"),
}


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("given", [DATA_VARIABLE, "--data-dir"])
def test_own_images_are_described_and_never_to_be_deleted(
    own: str, given: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, (content, description) = folder / "mnist" / f"{TRAIN}.gz", OWN[own]
    path.write_bytes(gzip.compress(content))
    if given == "--data-dir":
        monkeypatch.setenv(DATA_VARIABLE, "embedded")
        datasets.look_in(str(folder))
    with pytest.raises(UsageError) as caught:
        load_mnist()
    told = str(caught.value)
    assert f"{path} is not MNIST's: expected 60000 images of 28 x 28 pixels, SHA-256 " in told
    assert f"found {description}, SHA-256 {hashlib.sha256(content).hexdigest()[:12]}...; " in told
    assert f"point {given} to a folder of MNIST, or leave it out; give images of your own with --data" in told
    assert "delete" not in told


# --- user cache and download ---


class Mirrors:
    """Stands in for the network: which mirrors answer, what they send, what was asked of them."""

    def __init__(self, served: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self.served, self.up, self.asked = served, set(MIRRORS), list[str]()
        monkeypatch.setattr(mirror, "answers", lambda url: url.rpartition("/")[0] + "/" in self.up)
        monkeypatch.setattr(mirror, "fetch", self.fetch)

    def fetch(self, url: str, path: Path) -> None:
        self.asked.append(url)
        content = self.served.get(url)
        if content is None:
            raise ConnectionError(url)
        path.write_bytes(content)


@pytest.fixture
def mirrors(small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Mirrors:
    served = {f"{m}{name}.gz": gzip.compress(payload) for m in MIRRORS for name, payload in small.items()}
    return Mirrors(served, monkeypatch)


def test_download_comes_from_the_first_mirror_and_is_kept(
    mirrors: Mirrors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_mnist()
    assert (dataset.name, sizes(dataset)) == ("mnist", (60, 0, 10))
    assert mirrors.asked == [f"{MIRRORS[0]}{TRAIN}.gz", f"{MIRRORS[0]}{TEST}.gz"]
    assert files_in(tmp_path / "cache") == [f"{TEST}.gz", f"{TRAIN}.gz"]
    assert capsys.readouterr().err == ""
    forget()
    mirrors.up.clear()
    assert load_mnist().name == "mnist" and len(mirrors.asked) == 2


def test_corrupt_download_is_deleted_and_the_next_mirror_tried(mirrors: Mirrors, tmp_path: Path) -> None:
    mirrors.served[f"{MIRRORS[0]}{TEST}.gz"] = b"<html>sign in to this network</html>"
    assert load_mnist().name == "mnist"
    assert mirrors.asked == [f"{MIRRORS[0]}{TRAIN}.gz", f"{MIRRORS[0]}{TEST}.gz", f"{MIRRORS[1]}{TEST}.gz"]
    assert files_in(tmp_path / "cache") == [f"{TEST}.gz", f"{TRAIN}.gz"]


def test_mirror_that_does_not_answer_is_left_out(mirrors: Mirrors) -> None:
    mirrors.up.discard(MIRRORS[0])
    assert load_mnist().name == "mnist"
    assert all(url.startswith(MIRRORS[1]) for url in mirrors.asked)


@pytest.mark.parametrize("fault", ["none answers", "all corrupt"])
def test_without_any_mirror_the_embedded_subset_is_announced_once(
    fault: str, mirrors: Mirrors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if fault == "none answers":
        mirrors.up.clear()
    mirrors.served = dict.fromkeys(mirrors.served, b"corrupt")
    assert load_mnist().name == load_mnist("50k/10k/10k").name == "mnist-5k"
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("WARNING") == 1 and len(said.err.splitlines()) == 1
    assert all(word in said.err for word in ("mnist-5k", "5,000", DATA_VARIABLE, TRAIN, TEST))
    assert files_in(tmp_path) == []


def test_unwritable_cache_falls_back(mirrors: Mirrors, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert load_mnist().name == "mnist-5k"
    assert "WARNING" in capsys.readouterr().err


def test_corrupt_file_in_the_cache_is_named_and_never_used(mirrors: Mirrors, tmp_path: Path) -> None:
    load_mnist()
    forget()
    (path,) = tmp_path.rglob(f"{TRAIN}.gz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UsageError, match="delete it, and it is downloaded again"):
        load_mnist()


def test_data_folder_comes_before_cache_and_download(mirrors: Mirrors, folder: Path) -> None:
    load_mnist()
    assert mirrors.asked == []


def test_a_mirror_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(MIRRORS) * mirror.ANSWER_WITHIN <= 10
    monkeypatch.setattr("pooch.HTTPDownloader.__call__", lambda *_, **__: time.sleep(1))
    monkeypatch.setattr(mirror, "ANSWER_WITHIN", 0.05)
    start = time.monotonic()
    assert not answers("https://nowhere.invalid/")
    assert time.monotonic() - start < 0.9


def test_import_takes_neither_pooch_nor_requests() -> None:
    code = (
        "import sys, dvae_bench.tasks.vae.datasets, dvae_bench.tasks.vae.binarise; "
        "print({'pooch', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- preprocessing ---


def greys(repeats: int) -> torch.Tensor:
    """[repeats, 784] with all 256 grey levels in every row."""
    return (torch.arange(784) % 256).to(torch.uint8).expand(repeats, 784).contiguous()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_mean_is_grey(draws: torch.Tensor, images: torch.Tensor) -> None:
    """The mean of 0/1 draws against x/255, pixel by pixel, at 5 standard errors; 0 and 255 exactly."""
    p = images[0].double() / 255
    se = (p * (1 - p) / len(draws)).sqrt()
    assert ((draws.double().mean(0) - p).abs() <= 5 * se).all()


def test_dynamic_is_one_with_probability_grey() -> None:
    images = greys(4000)
    x = to_batch(images, "dynamic", generator())
    assert x.dtype == torch.float32 and x.shape == images.shape
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert_mean_is_grey(x, images)
    p = images.double() / 255
    total_se = (p * (1 - p)).sum().sqrt()
    assert abs(x.double().sum() - p.sum()) <= 4 * total_se


def test_dynamic_draws_anew_each_time_and_repeats_with_its_generator() -> None:
    images, g = greys(10), generator()
    first, second = to_batch(images, "dynamic", g), to_batch(images, "dynamic", g)
    assert not torch.equal(first, second)
    assert torch.equal(first, to_batch(images, "dynamic", generator()))


@pytest.fixture
def dataset() -> Dataset:
    return Dataset("mnist", "60k/10k", greys(3000), greys(0), greys(10))


def test_static_seeded_is_one_fixed_draw(dataset: Dataset) -> None:
    static = prepare(dataset, "static-seeded", seed=3)
    assert set(static.train.unique().tolist()) == {0, 255} and static.train.dtype == torch.uint8
    x = to_batch(static.train, "static-seeded")
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert_mean_is_grey(x, dataset.train)
    assert torch.equal(static.train, prepare(dataset, "static-seeded", seed=3).train)
    assert not torch.equal(static.train, prepare(dataset, "static-seeded", seed=4).train)


def test_static_seeded_is_the_same_in_both_splits(dataset: Dataset) -> None:
    held_out = Dataset("mnist", "50k/10k/10k", dataset.train[:2500], dataset.train[2500:], dataset.test)
    whole, parts = prepare(dataset, "static-seeded"), prepare(held_out, "static-seeded")
    assert torch.equal(whole.train, torch.cat([parts.train, parts.valid]))
    assert torch.equal(whole.test, parts.test)


def test_threshold_is_above_one_half(dataset: Dataset) -> None:
    prepared = prepare(dataset, "threshold")
    assert torch.equal(prepared.train, (dataset.train > 127).to(torch.uint8) * 255)
    expected = (dataset.train.double() / 255 > 0.5).float()
    assert torch.equal(to_batch(prepared.train, "threshold"), expected)
    assert torch.equal(to_batch(dataset.train, "threshold"), expected)


@pytest.mark.parametrize("how", ["dynamic", "none"])
def test_nothing_is_prepared_for(how: str, dataset: Dataset) -> None:
    assert prepare(dataset, how) is dataset


def test_none_keeps_grey_levels() -> None:
    x = to_batch(greys(1), "none")
    assert x.dtype == torch.float32 and (x.min(), x.max()) == (0, 1)
    torch.testing.assert_close(x.double(), greys(1).double() / 255, atol=1e-7, rtol=0)


def test_unknown_binarisation_names_the_nearest(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="dynamic"):
        prepare(dataset, "dynamik")


@pytest.mark.parametrize("how", sorted(set(BINARISATIONS) - {"static-larochelle"}))
def test_prepare_and_batch_stay_on_their_device(how: str, dataset: Dataset) -> None:
    batch = to_batch(prepare(dataset, how).to("meta").train, how)
    assert (batch.device.type, batch.dtype) == ("meta", torch.float32)


def write_amat(path: Path, images: torch.Tensor) -> None:
    path.write_text("".join(" ".join(map(str, row)) + " \n" for row in images.tolist()))


@pytest.fixture
def larochelle(folder: Path) -> dict[str, torch.Tensor]:
    """The three text files for a set of 50, 10 and 10 images."""
    counts = zip(binarise.LAROCHELLE, (50, 10, 10), strict=True)
    drawn = {name: torch.randint(0, 2, (n, 784), generator=generator(n)) for name, n in counts}
    for name, images in drawn.items():
        write_amat(folder / "mnist" / name, images)
    return drawn


def test_larochelle_takes_the_users_files(larochelle: dict[str, torch.Tensor]) -> None:
    train, valid, test = larochelle.values()
    held_out = prepare(load_mnist("50k/10k/10k"), "static-larochelle")
    assert (held_out.name, held_out.split) == ("mnist", "50k/10k/10k")
    for images, expected in ((held_out.train, train), (held_out.valid, valid), (held_out.test, test)):
        assert torch.equal(to_batch(images, "static-larochelle"), expected.float())
    whole = prepare(load_mnist("60k/10k"), "static-larochelle")
    assert torch.equal(whole.train, torch.cat([train, valid]).to(torch.uint8) * 255)
    assert whole.valid.shape == (0, 784)


@pytest.mark.parametrize("where", ["unset", "embedded", "folder"])
def test_larochelle_without_files_names_the_three(where: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_mnist()
    if where != "folder":
        monkeypatch.setenv(DATA_VARIABLE, "embedded" if where == "embedded" else "")
    with pytest.raises(UsageError) as caught:
        prepare(dataset, "static-larochelle")
    assert all(name in str(caught.value) for name in (*binarise.LAROCHELLE, DATA_VARIABLE))


def test_larochelle_file_cut_short_is_refused(folder: Path, larochelle: dict[str, torch.Tensor]) -> None:
    path = folder / "mnist" / binarise.LAROCHELLE[2]
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(UsageError, match=r"\[60, 0, 9\].*\[60, 0, 10\]"):
        prepare(load_mnist(), "static-larochelle")


@pytest.mark.parametrize("text", ["", "\x1f\x8b", "0 1 0\n", "0 1 2 1\n" * 196, "0.5 1 " * 784])
def test_larochelle_file_of_anything_else_is_named(
    text: str, folder: Path, larochelle: dict[str, torch.Tensor]
) -> None:
    (folder / "mnist" / binarise.LAROCHELLE[0]).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"binarized_mnist_train\.amat"):
        prepare(load_mnist(), "static-larochelle")
