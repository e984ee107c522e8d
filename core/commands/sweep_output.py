"""Printing side by side: every line of a study that shares its terminal says which study it is of."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOBase
from typing import TextIO


@contextmanager
def tagged(tag: str) -> Iterator[None]:
    """Every line that is printed meanwhile begins with the tag; "": nothing is changed."""
    if not tag:
        yield
        return
    out, err = _Tagged(sys.stdout, tag), _Tagged(sys.stderr, tag)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.end_line()
            err.end_line()


class _Tagged(TextIOBase):
    """A text stream on top of another one, which is no terminal any more, so that no live view opens."""

    def __init__(self, stream: TextIO, tag: str) -> None:
        self._stream, self._tag, self._line = stream, tag, ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        whole, newline, self._line = (self._line + text).rpartition("\n")
        if newline:
            # One write for all lines: those of other processes come between them, not into them.
            self._stream.write("".join(f"{self._tag}{line}\n" if line else "\n" for line in whole.split("\n")))
            self._stream.flush()
        return len(text)

    def end_line(self) -> None:
        if self._line:
            self.write("\n")
