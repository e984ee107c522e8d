"""Reads what W&B's client wrote to a run's local `.wandb` file.

An offline run cannot be asked what it already shows; its file can. The format is LevelDB's log
(github.com/google/leveldb/blob/main/doc/log_format.md) with a 7-byte header `:W&B…`, its records
are protobufs of `wandb.proto`. A killed client leaves a torn tail, which is where reading ends.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAGIC = b":W&B"
_FILE_HEADER = 7  # bytes: magic, 2 bytes, version
_BLOCK = 32768  # bytes
_RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, type
_FULL, _FIRST, _LAST = 1, 2, 4


def frames(path: Path) -> Iterator[bytes]:
    """The whole records of a file, oldest first. Raises ValueError if it is no such file."""
    data = path.read_bytes()
    if data and not data.startswith(_MAGIC):
        raise ValueError(f"{path} is not a .wandb file")
    position, record = _FILE_HEADER, b""
    while position + _RECORD_HEADER.size <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _RECORD_HEADER.size:
            position += left
            continue
        checksum, length, kind = _RECORD_HEADER.unpack_from(data, position)
        if kind == 0 and length == 0:  # the zeros that pad a block
            position += left
            continue
        start = position + _RECORD_HEADER.size
        body = data[start : start + length]
        if len(body) < length or zlib.crc32(bytes([kind]) + body) != checksum:
            return
        position = start + length
        record = body if kind in (_FULL, _FIRST) else record + body
        if kind in (_FULL, _LAST):
            yield record


def records(path: Path) -> Iterator[Any]:
    """The protobuf records of a file, oldest first."""
    from wandb.proto import wandb_internal_pb2

    for frame in frames(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(frame)
        yield record


def history(folder: Path, run_id: str) -> list[dict[str, Any]]:
    """The history rows that earlier clients wrote of a run, oldest first.

    folder: the `wandb` folder that holds `run-*` and `offline-run-*`.
    """
    found = []
    # Folders are named [offline-]run-<date>_<time>-<id>[-<n>]: without the prefix they sort by age.
    paths = folder.glob(f"*run-*/run-{run_id}.wandb")
    for path in sorted(paths, key=lambda path: path.parent.name.removeprefix("offline-")):
        for record in records(path):
            if record.WhichOneof("record_type") == "history":
                found.append({item_key(item): json.loads(item.value_json) for item in record.history.item})
    return found


def item_key(item: Any) -> str:
    """The key of a history, summary or config item, nested keys joined by dots."""
    return item.key or ".".join(item.nested_key)
