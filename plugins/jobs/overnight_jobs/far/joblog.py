"""A job's log: its beginning and its end, within a size, whatever the job prints."""

import collections
import contextlib


class BoundedLog:
    """A file that keeps the first three quarters and the last quarter of `limit` bytes."""

    def __init__(self, path: str, limit: int) -> None:
        self._file = open(path, "ab", buffering=0)
        self._room = limit * 3 // 4
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_limit = limit - self._room
        self._tail_size = self._dropped = 0

    def write(self, data: bytes) -> None:
        head, rest = data[: self._room], data[self._room :]
        if head:
            self._room -= len(head)
            self._put(head)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            while self._tail_size > self._tail_limit:
                old = self._tail.popleft()
                spare = self._tail_size - len(old)
                keep = old[len(old) - max(0, self._tail_limit - spare) :] if spare < self._tail_limit else b""
                if keep:
                    self._tail.appendleft(keep)
                self._tail_size = spare + len(keep)
                self._dropped += len(old) - len(keep)

    def close(self, last_words: str = "") -> None:
        """Write what was kept back, then the supervisor's own last line."""
        if self._dropped:
            self._put(f"\n[... {self._dropped} bytes of output left out here ...]\n".encode())
        self._put(b"".join(self._tail))
        if last_words:
            self._put(f"\n{last_words}\n".encode())
        self._file.close()

    def _put(self, data: bytes) -> None:
        # A full disk must not stop the job's output from being drained: what cannot be kept is
        # dropped, and the job's own writes fail with the same error, where it matters.
        with contextlib.suppress(OSError):
            self._file.write(data)
