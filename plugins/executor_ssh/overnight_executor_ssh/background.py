"""Background work: an event loop and threads that never hold up the end of the program."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.RLock()  # a connection that is collected as garbage may ask for the loop at any moment
_loop: asyncio.AbstractEventLoop | None = None


def loop() -> asyncio.AbstractEventLoop:
    """The one event loop of this process, in a daemon thread; all connections live in it."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="overnight-ssh", daemon=True).start()
        return _loop


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the event loop and wait for it; raises what it raises."""
    return asyncio.run_coroutine_threadsafe(work, loop()).result()


def spawn(work: Callable[..., T], *arguments: Any) -> "Future[T]":
    """Run a function in a thread of its own. A pool's threads would be waited for at the program's
    end, for as long as a host that hangs takes to answer."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(*arguments))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="overnight-ssh-work", daemon=True).start()
    return future
