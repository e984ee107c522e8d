"""Passes plain HTTP to the program in a machine and back, as a stream."""

import contextlib
import http.client

import wire

_BLOCK = 1 << 16
_HOPS = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection", "host"}
_PATIENCE_S = 300.0


class Cut(Exception):
    """The script wants this connection to break here."""


def forward(door, machine, path, rule):
    """Serve one request of a door (see server.py) from a machine."""
    try:
        line = machine.connect(_PATIENCE_S)
    except OSError as why:
        text = f"upstream connect error or disconnect/reset before headers: {why}"
        return door.answer(503, text.encode(), kind="text/plain")
    with line:
        try:
            _send(door, line, path, rule)
            response = http.client.HTTPResponse(line, method=door.command)
            response.begin()
        except (OSError, http.client.HTTPException, Cut):
            if rule.get("do") == "cut_upload":
                return door.drop()
            return door.answer(502, wire.error(502, "upstream reset before headers"))
        if rule.get("do") == "lose":
            return door.drop()
        with contextlib.suppress(OSError, http.client.HTTPException, Cut):
            _give_back(door, response, rule.get("after", 0) if rule.get("do") == "cut" else None)
            return None
    return door.drop()


def _send(door, line, path, rule):
    """The request, head and body, on the line."""
    head = [f"{door.command} {path} HTTP/1.1", f"Host: {door.headers.get('Host', 'localhost')}", "Connection: close"]
    head += [f"{name}: {value}" for name, value in door.headers.items() if name.lower() not in _HOPS]
    chunked = "chunked" in (door.headers.get("Transfer-Encoding") or "").lower()
    if chunked:
        head.append("Transfer-Encoding: chunked")
    line.sendall(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
    left = rule.get("after", 0) if rule.get("do") == "cut_upload" else None
    for block in _chunks(door.rfile) if chunked else _exactly(door.rfile, int(door.headers.get("Content-Length") or 0)):
        part = block if left is None else block[:left]
        # An early answer ends the reading on the other side: that is for the response to tell.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked and part else part)
        if left is not None:
            left -= len(part)
            if left <= 0:
                raise Cut
    if left is not None:
        raise Cut
    if chunked:
        line.sendall(b"0\r\n\r\n")


def _exactly(source, size):
    while size > 0:
        block = source.read(min(size, _BLOCK))
        if not block:
            raise Cut  # the client went away
        size -= len(block)
        yield block


def _chunks(source):
    while size := int(source.readline().split(b";")[0] or b"0", 16):
        yield from _exactly(source, size)
        source.readline()
    while source.readline().strip():
        pass


def _give_back(door, response, cut_after):
    """The response, block by block; a body that ends too early ends the connection."""
    bare = door.command == "HEAD" or response.status in (204, 304)
    length = response.length if not bare else 0
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{k}: {v}" for k, v in response.getheaders() if k.lower() not in (*_HOPS, "content-length")]
    if response.headers.get("Content-Length") is not None:
        lines.append(f"Content-Length: {response.headers['Content-Length']}")
    elif not bare:
        lines.append("Transfer-Encoding: chunked")
    door.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    if bare:
        return
    sent = 0
    while block := response.read1(_BLOCK):
        if cut_after is not None:
            block = block[: cut_after - sent]
        if block:
            door.wfile.write(block if length is not None else b"%x\r\n%b\r\n" % (len(block), block))
        sent += len(block)
        if cut_after is not None and sent >= cut_after:
            raise Cut
    if length is not None and sent < length:
        raise Cut
    if length is None:
        door.wfile.write(b"0\r\n\r\n")
