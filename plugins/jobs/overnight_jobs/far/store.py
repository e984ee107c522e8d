"""The store: files by their digest, so that each is carried to a machine once.

Standard library only: loaded by path on the far side.
"""

import contextlib
import hashlib
import os
import shutil
import tarfile
import time
from pathlib import Path
from typing import BinaryIO

import files  # beside this file, not in a package: -I -S has no site-packages

_CHUNK = 1 << 20
_KEEP_S = 14 * 24 * 3600.0


class Store:
    """Blobs below one folder, named by the sha256 of their content, and code bundles unpacked from them."""

    def __init__(self, root: Path) -> None:
        self.blobs, self.code = root / "blobs", root / "code"

    def missing(self, digests: list[str]) -> list[str]:
        """Which of these have to be sent; those that are there count as used now."""
        absent = []
        for digest in dict.fromkeys(digests):
            try:
                os.utime(self.blobs / _name(digest))
            except FileNotFoundError:
                absent.append(digest)
        return absent

    def put(self, digest: str, size: int, source: BinaryIO) -> None:
        """Store the next `size` bytes of a stream. Raises ValueError unless they are what they should be."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        target = self.blobs / _name(digest)
        partial = target.with_name(f"{target.name}.{os.getpid()}.{time.monotonic_ns()}.partial")
        found, left = hashlib.sha256(), size
        try:
            with partial.open("wb") as file:
                while left > 0:
                    data = source.read(min(left, _CHUNK))
                    if not data:
                        raise ValueError(f"blob {digest[:12]} ended {left} bytes early")
                    found.update(data)
                    file.write(data)
                    left -= len(data)
            if found.hexdigest() != digest:
                raise ValueError(f"blob {digest[:12]} was changed on its way")
            partial.replace(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()

    def place(self, digest: str, mode: int, target: Path) -> None:
        """Copy a blob to a path of its own: jobs may change what they are given."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.blobs / _name(digest), target)
        target.chmod(mode & 0o777)

    def unpacked(self, digest: str) -> Path:
        """The folder of a code bundle (a tar blob), unpacked once."""
        folder = self.code / _name(digest)
        if not folder.is_dir():
            partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            with tarfile.open(self.blobs / _name(digest)) as tar:
                # Before 3.11.4 (Debian 12 has 3.11.2) there are no filters; the bundle is what its digest says.
                tar.extractall(partial, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
            try:
                partial.rename(folder)
            except OSError:  # another call was faster
                shutil.rmtree(partial, ignore_errors=True)
        return folder

    def forget_old(self) -> None:
        """Delete blobs that nobody asked for in two weeks, and what broken transfers left."""
        now = time.time()
        for path in self.blobs.iterdir() if self.blobs.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                old = 3600.0 if path.name.endswith(".partial") else _KEEP_S
                if now - path.stat().st_mtime > old:
                    path.unlink()


def _name(digest: str) -> str:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError(f"{digest!r} is no sha256")
    return digest


def pack(folder: Path, outputs: list[str], target: Path) -> dict[str, str]:
    """Write the outputs of a job folder that exist, and its log, into a tar file; returns path → sha256
    of what went in. Links that lead out of the folder stay behind."""
    packed: dict[str, str] = {}
    with tarfile.open(target, "w") as tar:
        for name in dict.fromkeys([*outputs, "log.txt"]):
            top = files.inside(folder, name)
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                    packed[str(path.relative_to(folder))] = _add(tar, path, str(path.relative_to(folder)))
    return packed


def _add(tar: tarfile.TarFile, path: Path, name: str) -> str:
    """Add one file as it is now, though its job may go on writing it; returns its digest."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = os.fstat(file.fileno()).st_size, 0o644
        tar.addfile(info, _Hashing(file, info.size, found))
    return found.hexdigest()


class _Hashing:
    """A file that is read once, padded to its size where it was cut meanwhile."""

    def __init__(self, file: BinaryIO, size: int, found: "hashlib._Hash") -> None:
        self._file, self._left, self._found = file, size, found

    def read(self, most: int = -1) -> bytes:
        want = self._left if most < 0 else min(most, self._left)
        data = self._file.read(want)
        data += bytes(want - len(data))
        self._left -= want
        self._found.update(data)
        return data
