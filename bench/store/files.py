"""Files that are written whole or not at all, and the checksums inside them that reveal damage."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...estimators.names import UsageError

UNSEALED = b"0" * 64  # stands in the checksum's place while the checksum is computed
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Unwritable(UsageError):
    """The system refuses to write. No cell is to blame, so the run stops instead of recording a failure."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError from writing `path` into one sentence. Raises Unwritable."""
    try:
        yield
    except OSError as error:
        remedy = "make room" if error.errno in NO_ROOM else "make it writable"
        raise Unwritable(
            f"cannot write {path} ({error.strerror or error}): {remedy}, or choose another folder with -o; "
            "what is finished there is kept, and the same command goes on"
        ) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically and create its folder: after a kill, the old file is still there.

    A kill may leave a temporary file, `.NAME.MACHINE.PROCESS.RANDOM`, which `sweep` removes. Raises Unwritable.
    """
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()


def sweep(folder: Path) -> None:
    """Remove the temporary files of dead processes of this machine; files of other machines are left to them."""
    for path in folder.glob(".*"):
        name, _, rest = path.name.rpartition(f".{platform.node()}.")
        process = rest.partition(".")[0]
        if name and process.isdigit() and not _alive(int(process)):
            with suppress(OSError):
                path.unlink()


def _alive(process: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def sealed(content: bytes, place: int) -> bytes:
    """`content` with the 64 bytes UNSEALED at `place` replaced by the SHA-256 of `content` in hexadecimal."""
    return content[:place] + hashlib.sha256(content).hexdigest().encode() + content[place + 64 :]


def is_sound(content: bytes, place: int) -> bool:
    """Whether sealed content matches the checksum at `place`."""
    return sealed(content[:place] + UNSEALED + content[place + 64 :], place) == content
