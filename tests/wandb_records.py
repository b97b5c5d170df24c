"""Reads what W&B wrote to disk: the records of a `.wandb` file, and what they say of a run."""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def record_bytes(data: bytes) -> Iterator[bytes]:
    """Each record whole, where a long one was cut as a block of 32 KiB ends (LevelDB's log)."""
    assert data[:4] == b":W&B"
    place, parts = HEADER, b""
    while place + HEADER <= len(data):
        room = BLOCK - place % BLOCK
        if room < HEADER:
            place += room
            continue
        checksum, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        body = data[place + HEADER : place + HEADER + length]
        assert zlib.crc32(bytes([kind]) + body) == checksum
        parts = body if kind in (_FULL, _FIRST) else parts + body
        if kind in (_FULL, _LAST):
            yield parts
        place += HEADER + length


@dataclass
class WandbRun:
    """What one `.wandb` file says.

    Attributes:
        run: Its RunRecord: run_id, run_group, job_type, tags, project, display_name, host.
        rows: Of the history, each with `_step`.
        summary: Its last state.
        artifacts: ArtifactRecords.
        exit_code: None where the run was killed.
    """

    run: Any = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict)


def read_run(path: Path) -> WandbRun:
    """All that a `.wandb` file holds of its run."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = WandbRun()
    for data in record_bytes(path.read_bytes()):
        record = Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            found.config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
        elif kind == "history":
            found.rows.append(
                {
                    ".".join(i.nested_key) or i.key: json.loads(i.value_json)
                    for i in record.history.item
                }
            )
        elif kind == "summary":
            for item in record.summary.update:
                found.summary[".".join(item.nested_key) or item.key] = json.loads(item.value_json)
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def runs_of(folder: Path) -> list[WandbRun]:
    """The runs that lie in `folder/wandb`, oldest first.

    W&B's service writes on for a moment after a run is finished: it is waited for.
    """
    import wandb

    wandb.teardown()
    paths = (folder / "wandb").glob("*run-*/*.wandb")
    return [
        read_run(path)
        for path in sorted(paths, key=lambda path: path.parent.name.partition("run-")[2])
    ]
