"""Files of a results folder: written whole or not at all, read only if they are what they should be, and checksums.

A folder may come from a stranger. A link in it would be written through or lead anywhere, a FIFO would hang, a device
never ends; so everything is read by `read_file` and written by `replace_file` or `append_file`, which refuse them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...estimators.names import UsageError

UNSEALED = b"0" * 64  # stands in the checksum's place while the checksum is computed
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MOST_BYTES = 2**28
"""The largest file that is read, unless its reader allows more."""
DEEPEST = 50
"""The deepest nesting of a JSON file; everything that walks through its values may recurse."""


class Damaged(ValueError):
    """A file is not what it should be; the message gives the evidence."""


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


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file. Raises Damaged for a link, folder, FIFO, device or larger file, and OSError."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Damaged(f"it is {_kind(found.st_mode)}, not a file")
    if found.st_size > most:
        raise Damaged(f"it has {found.st_size} bytes, more than the {most} of any such file")
    return path.read_bytes()


def read_object(content: bytes) -> dict[str, Any]:
    """The JSON object in `content`. Raises Damaged, also where it is nested deeper than DEEPEST or is not Unicode."""
    try:
        found = json.loads(content)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair cannot be written anywhere
        depth = _depth(found)
    except (ValueError, RecursionError) as error:
        raise Damaged(" ".join(str(error).split())) from error
    if not isinstance(found, dict) or depth > DEEPEST:
        raise Damaged(f"it is nested {depth} deep" if depth > DEEPEST else "it holds no JSON object")
    return found


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO"}
    return kinds.get(stat.S_IFMT(mode), "a device or socket")


def own(path: Path, below: Path | None = None) -> None:
    """Raises Unwritable where `path`, or a folder between it and `below`, is a link and so leads out of the folder.

    below: the folder that the user named, which may be a link; default: the parent of `path`.
    """
    below = path.parent if below is None else below
    for each in (path, *path.parents):
        if each == below:
            return
        if each.is_symlink():
            raise Unwritable(
                f"cannot write {path}: {each} is a symbolic link; remove it, or choose another folder with -o"
            )


def replace_file(path: Path, content: bytes, below: Path | None = None) -> None:
    """Write `content` to `path` atomically and create its folder: after a kill, the old file is still there.

    A kill may leave a temporary file, `.NAME.MACHINE.PROCESS.RANDOM`, which `sweep` removes. below: as for `own`.
    Raises Unwritable.
    """
    own(path, below)
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()


def append_file(path: Path, content: bytes) -> None:
    """Append to a regular file and create its folder. Raises Unwritable."""
    own(path)
    if os.path.lexists(path) and not path.is_file():
        raise Unwritable(f"cannot write {path}: it is {_kind(path.lstat().st_mode)}, not a file; remove it")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(content)


def remove_file(path: Path, below: Path | None = None) -> None:
    """Remove a file that an earlier report left, if it is there. below: as for `own`. Raises Unwritable."""
    own(path, below)
    with writing(path):
        path.unlink(missing_ok=True)


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
