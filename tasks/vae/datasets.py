"""Finding and reading MNIST: its IDX files, or the embedded 5,000 images when there is no way to get them; or images of
one's own.

Looked for in this order: the folder given to `look_in`, or else in the environment variable DVAE_BENCH_DATA
(`embedded` takes the embedded subset at once), the user cache, a download into that cache, and only then the embedded
subset, announced on stderr.
The SHA-256 of every file's uncompressed bytes is pinned: a file that differs is never used, unless its folder was given
as one of other images, whose checksum then names them in every row.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import torch
from torch import Tensor

from ...estimators.names import UsageError
from . import idx, mirror
from .own_images import read_own

SPLITS = ("60k/10k", "50k/10k/10k")
DATA_VARIABLE = "DVAE_BENCH_DATA"
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
EMBEDDED = Path(__file__).resolve().parent.parent / "data" / "mnist-5k-images-idx3-ubyte.gz"
SHA256 = {
    TRAIN: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    TEST: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "mnist-5k-images-idx3-ubyte": "1d63efb4ac5ab122c73fed605a3f2897fe3ede87e9b4e9fe369abbdd36dad1e7",
}
COUNTS = {TRAIN: 60_000, TEST: 10_000, "mnist-5k-images-idx3-ubyte": 5_000}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as uint8 [N, height * width] in 0..255; `split` states the sizes, `valid` is empty in a split of two."""

    name: str
    split: str
    train: Tensor
    valid: Tensor
    test: Tensor
    height: int = 28
    width: int = 28

    def to(self, device: torch.device | str) -> Dataset:
        """The same images on `device`."""
        return self.map(lambda images: images.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> Dataset:
        """`change` applied to train, valid and test, in that order."""
        return replace(self, train=change(self.train), valid=change(self.valid), test=change(self.test))

    @functools.cached_property
    def mean(self) -> Tensor:
        """Mean of each pixel in train, float32 [pixels] in [0, 1]; for a decoder's output bias."""
        return self.train.sum(0, dtype=torch.float32) / (255 * len(self.train))

    @property
    def upper(self) -> int:
        """How many pixels the upper half has, the first of each image: half of the rows, rounded down."""
        return self.height // 2 * self.width


class Given(NamedTuple):
    """The folder to look in first, "" if none; own: whether it holds other images than MNIST's."""

    folder: str
    own: bool = False


_given: Given | None = None


def look_in(folder: str | None, own: bool = False) -> None:
    """In this process, look for MNIST in this folder instead of the one in DVAE_BENCH_DATA; None goes back to that.

    own: the folder has images of one's own, which take MNIST's place.
    """
    global _given
    _given = None if folder is None else Given(folder, own)


def data_folder() -> Given:
    """Where images are looked for first."""
    return Given(os.environ.get(DATA_VARIABLE, "")) if _given is None else _given


def _given_by() -> str:
    """The option or variable that named the folder."""
    if _given is None:
        return DATA_VARIABLE
    return "--data" if _given.own else "--data-dir"


def load_mnist(split: str = "60k/10k") -> Dataset:
    """MNIST, its training images whole ("60k/10k") or with the last 10,000 for validation ("50k/10k/10k").

    The embedded subset is named "mnist-5k", its split "4500/500" or "4000/500/500". Images of one's own are named
    "own-" and the start of their checksum; as many as there are test images validate. Read once per process.
    Raises UsageError for an unknown split, a folder without the files, a corrupt file, or too few images.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; take one of {', '.join(SPLITS)}")
    return _load(split, data_folder())


def find_in_data_folder(*names: str) -> dict[str, Path]:
    """Those of the named files that lie in `data_folder` or its `mnist/`, plain or .gz."""
    folder = data_folder().folder
    return {} if folder in ("", "embedded") else _find(Path(folder).expanduser(), *names)


def read_idx(path: Path, remedy: str) -> Tensor:
    """The images of an IDX file of MNIST, gzipped or not, as uint8 [N, 784].

    Raises UsageError, which says what was expected and what was found, with the remedy, on a wrong checksum.
    """
    name, payload = path.name.removesuffix(".gz"), idx.uncompressed(path)
    found = hashlib.sha256(payload).hexdigest()
    if found != SHA256[name]:
        raise UsageError(
            f"{path} is not MNIST's: expected {COUNTS[name]} images of 28 x 28 pixels, SHA-256 {SHA256[name][:12]}..., "
            f"found {idx.contents(payload)}, SHA-256 {found[:12]}...; {remedy}"
        )
    return idx.pixels(payload)


@functools.lru_cache(maxsize=4)
def _load(split: str, given: Given) -> Dataset:
    name, train, test, height, width = _images(given)
    valid = len(test) if split == "50k/10k/10k" else 0
    if valid >= len(train):
        raise UsageError(
            f"split=50k/10k/10k takes as many images for validation as there are for the test, {valid}, out of "
            f"{len(train)} for training; leave split out, or have more images for training"
        )
    train, valid_images = train.split([len(train) - valid, valid])
    if name != "mnist":
        split = "/".join(str(size) for size in (len(train), valid, len(test)) if size)
    return Dataset(name, split, train, valid_images, test, height, width)


@functools.lru_cache(maxsize=2)
def _images(given: Given) -> tuple[str, Tensor, Tensor, int, int]:
    """Name, training and test images, height and width, from the first place that has them."""
    if given.own:
        files = _both(Path(given.folder).expanduser())
        return read_own(files[TRAIN], files[TEST], {(SHA256[TRAIN], SHA256[TEST]): "mnist"})
    if given.folder == "embedded":
        return _embedded()
    if given.folder:
        files = _both(Path(given.folder).expanduser())
        remedy = f"point {_given_by()} to a folder of MNIST, or leave it out; give images of your own with --data"
    else:
        try:
            files, remedy = _cached(), "delete it, and it is downloaded again"
        except OSError as error:
            print(
                f"WARNING: MNIST is not in the user cache and cannot be downloaded ({error}), so the "
                f"embedded subset of 5,000 images stands in for it, named mnist-5k; for the full set, put {TRAIN}.gz "
                f"and {TEST}.gz in a folder and set {DATA_VARIABLE} to it.",
                file=sys.stderr,
            )
            return _embedded()
    return "mnist", read_idx(files[TRAIN], remedy), read_idx(files[TEST], remedy), 28, 28


def _both(folder: Path) -> dict[str, Path]:
    """The two files in a folder that was given. Raises UsageError if one is missing."""
    files = _find(folder, TRAIN, TEST)
    if len(files) < 2:
        instead = "" if _given is not None and _given.own else f", or leave {_given_by()} out to have them downloaded"
        raise UsageError(
            f"{_given_by()} is {folder}, but {TRAIN}(.gz) and {TEST}(.gz) are not both there or in its "
            f"mnist/: put them there{instead}"
        )
    return files


def _embedded() -> tuple[str, Tensor, Tensor, int, int]:
    train, test = read_idx(EMBEDDED, "reinstall dvae-bench").split([4500, 500])
    return "mnist-5k", train, test, 28, 28


def _find(folder: Path, *names: str) -> dict[str, Path]:
    """Those of the named files that are there, all from one place: that with most of them."""

    def there(place: Path) -> dict[str, Path]:
        paths = ((name, place / (name + end)) for name in names for end in ("", ".gz"))
        return {name: path for name, path in paths if path.is_file()}

    return max(there(folder / "mnist"), there(folder), key=len)


def _cached() -> dict[str, Path]:
    """MNIST's files in the user cache, downloaded if they are not there. Raises OSError if they cannot be."""
    import pooch

    cache = Path(pooch.os_cache("dvae-bench"))
    files = _find(cache, TRAIN, TEST)
    if len(files) == 2:
        return files
    failures = []
    for address in MIRRORS:
        try:
            if not mirror.answers(f"{address}{TRAIN}.gz"):
                raise ConnectionError
            for name in (TRAIN, TEST):
                if name not in _find(cache, name):
                    _download(f"{address}{name}.gz", cache / "mnist")
            return _find(cache, TRAIN, TEST)
        except (OSError, UsageError) as error:
            reason = "corrupt file" if isinstance(error, UsageError) else type(error).__name__
            failures.append(f"{urlsplit(address).hostname}: {reason}")
    raise OSError(", ".join(failures))


def _download(url: str, folder: Path) -> None:
    """Download a file into `folder`, where it appears only after its checksum is verified."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as unchecked:
        path = Path(unchecked) / url.rpartition("/")[2]
        mirror.download(url, path)
        read_idx(path, "try again")
        path.replace(folder / path.name)
