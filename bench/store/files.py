"""Files that are written whole or not at all, and the checksums inside them by which damage is known."""

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

UNSEALED = b"0" * 64  # where the checksum stands while it is taken
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Unwritable(UsageError):
    """The system refuses to write; nobody's fault but the disk's, so that a run stops instead of blaming a cell."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's refusal to write `path` into one sentence. Raises Unwritable."""
    try:
        yield
    except OSError as error:
        remedy = "make room" if error.errno in NO_ROOM else "make it writable"
        raise Unwritable(
            f"cannot write {path} ({error.strerror or error}): {remedy}, or choose another folder with -o; "
            "what is finished there is kept, and the same command goes on"
        ) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whose folder is made; a kill leaves what was there before. Raises Unwritable.

    What a kill leaves of the file being written, `.NAME.MACHINE.PROCESS.RANDOM`, is removed by `sweep`.
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
    """Remove files half written by processes of this machine that are no more; those of others are left to them."""
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
    """`content`, whose 64 bytes UNSEALED at `place` become the SHA-256 of the whole."""
    return content[:place] + hashlib.sha256(content).hexdigest().encode() + content[place + 64 :]


def is_sound(content: bytes, place: int) -> bool:
    """Whether sealed content is what was written."""
    return sealed(content[:place] + UNSEALED + content[place + 64 :], place) == content
