"""The process that talks to providers through litellm, for a parent that can end it at any time.

Run as `python -m overnight_llm.child`. One JSON object a line on stdin is a call, one on
stdout its answer. Ends when its stdin does. A process of its own because no timeout inside
litellm covers a server that sends a byte now and then, because an endless body must not fill
the controller's memory, and because importing litellm takes 3 to 5 s and holds the interpreter.
"""

import json
import os
import queue
import sys
import threading
from typing import Any

MEMORY = 3 << 30  # address space of the process in bytes; litellm and its libraries take 1.1 GB of it
MAX_CONTENT = 1_000_000  # characters of an answer that are passed on


def main() -> None:
    """Serve calls until stdin ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # litellm prints advice
    _limit()
    calls: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(calls,), daemon=True).start()
    litellm = _litellm()
    _send(out, {"ready": True})
    while True:
        call = calls.get()
        try:
            _send(out, _model(litellm, call) if call["do"] == "model" else _complete(litellm, call))
        except MemoryError:
            _send(out, {"error": "the answer does not fit into memory", "kind": "broken"})


def _read(calls: "queue.SimpleQueue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        calls.put(json.loads(line))
    os._exit(0)  # the parent is gone: whatever is under way is of no use to anybody


def _limit() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _litellm() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches its price table at import
    os.environ["LITELLM_MODE"] = "PRODUCTION"  # else it reads a .env file of the working directory
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = True
    return litellm


def _model(litellm: Any, call: dict[str, Any]) -> dict[str, Any]:
    """What litellm's table says of a model: prices per token in US dollars, whether it takes a schema."""
    try:
        found = litellm.get_model_info(call["model"])
    except Exception:  # noqa: BLE001 - it raises a bare Exception for a model that it does not know
        return {"known": False}
    usd_in, usd_out = found.get("input_cost_per_token"), found.get("output_cost_per_token")
    takes_schema = bool(found.get("supports_response_schema"))
    return {"known": bool(usd_in or usd_out), "usd_in": usd_in, "usd_out": usd_out, "takes_schema": takes_schema}


def _complete(litellm: Any, call: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = litellm.completion(**call["arguments"], num_retries=0, max_retries=0)
        choice = answer.choices[0]
        usage = getattr(answer, "usage", None)
        return {
            "content": (choice.message.content or "")[:MAX_CONTENT],
            "length": len(choice.message.content or ""),
            "finish": str(choice.finish_reason),
            "tokens_in": int(getattr(usage, "prompt_tokens", 0) or 0),
            "tokens_out": int(getattr(usage, "completion_tokens", 0) or 0),
        }
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - litellm passes on what any provider's client raises
        return _problem(litellm, error)


def _problem(litellm: Any, error: Exception) -> dict[str, Any]:
    """kind: "busy" (429, 5xx), "down" (never connected), "timeout", "schema" (400 or 422), "refused"
    (other 4xx), or "broken" (something came, and it was no answer).

    litellm makes up a response of status 500 for whatever it does not understand, and drops the
    headers: the truth is in the chain of causes.
    """
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    names = {type(each).__name__ for each in chain}
    real = next((each.response for each in chain if type(each).__name__ == "HTTPStatusError"), None)  # type: ignore[attr-defined]
    status = real.status_code if real is not None else getattr(error, "status_code", None)
    if names & {"ConnectError", "ConnectTimeout", "ProxyError"}:
        kind = "down"
    elif isinstance(error, litellm.Timeout):
        kind = "timeout"
    elif real is None and (not isinstance(status, int) or status >= 500):
        kind = "broken"
    elif not isinstance(status, int) or status == 429 or status >= 500:
        kind = "busy"
    else:
        kind = "schema" if status in (400, 422) else "refused"
    text = f"{type(error).__name__}: {error}"
    return {"error": text[:2000], "kind": kind, "status": status, "retry_after": _retry_after(real)}


def _retry_after(response: Any) -> float | None:
    """The header's seconds; of a date nothing is made, then the backoff decides."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (AttributeError, KeyError, ValueError):
        return None


def _send(out: Any, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
