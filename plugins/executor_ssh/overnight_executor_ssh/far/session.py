"""The session: an agent that answers one request after the other, for as long as somebody asks.

`python -I -S session.py ROOT`; a greeting line first, since a login shell may have said something
before it. To start an interpreter for each question would cost a host with eight jobs a core.
"""

import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parent))
from agent import Agent, answer_one  # beside this file, not in a package: -I -S has no site-packages
from keeper import short_root

GREETING = b"overnight-session 1\n"
_IDLE_S = 1800


def converse(agent: Agent, source: BinaryIO, target: BinaryIO) -> None:
    """Answer until the other side ends it, or until an answer left the rest of its question unread."""
    torn = False

    def answer(request: dict[str, Any], body: BinaryIO) -> tuple[dict[str, Any], BinaryIO | None]:
        nonlocal torn
        signal.alarm(0)
        head, file = agent.answer(request, body)
        torn = "error" in head and bool(request.get("body"))
        return head, file

    target.write(GREETING)
    target.flush()
    while not torn:
        signal.alarm(_IDLE_S)  # a connection that broke without a word leaves nobody behind for ever
        if not source.peek(1):  # type: ignore[attr-defined]
            return
        answer_one(answer, source, target)


if __name__ == "__main__":
    converse(Agent(short_root(sys.argv[1])), sys.stdin.buffer, sys.stdout.buffer)
