"""The ledger of an example recipient: one JSON object per line, only ever appended to, on disk before any answer.

It keeps which notice came and what was done about it; of what the notice tells about a person, only a digest.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Received:
    """A notice that was applied."""

    notice_id: str
    recipient_id: str
    kind: str
    encounter_id: str
    digest: str


@dataclass
class Contents:
    """What a ledger says."""

    received: dict[str, Received] = field(default_factory=dict)
    repeats: int = 0
    """Deliveries of what had been applied already."""
    altered: list[str] = field(default_factory=list)
    """Notices that came again under the same id with other bytes."""
    applied_twice: list[str] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Status by notice."""
    refused: dict[str, str] = field(default_factory=dict)
    """Acknowledgements that the router will never take, and why."""

    @property
    def open(self) -> list[Received]:
        """Received and not yet acknowledged."""
        ended = self.acknowledged.keys() | self.refused.keys()
        return [one for one in self.received.values() if one.notice_id not in ended]


class Ledger:
    """The writing end; one process at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        self.contents = read(path)
        self._file = path.open("ab")

    def append(self, entries: Sequence[dict[str, Any]]) -> None:
        """Durable when it returns."""
        for entry in entries:
            self._file.write(orjson.dumps(entry) + b"\n")
            _take(self.contents, entry)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Contents:
    """What the ledger says now; an absent one is empty."""
    contents = Contents()
    for entry in _entries(path):
        _take(contents, entry)
    return contents


def digest(body: bytes) -> str:
    return sha256(body).hexdigest()


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open("rb") as file:
            yield from (orjson.loads(line) for line in file if line.endswith(b"\n"))


def _take(contents: Contents, entry: dict[str, Any]) -> None:
    notice = entry["notice_id"]
    match entry["what"]:
        case "received":
            if notice in contents.received:
                contents.applied_twice.append(notice)
            contents.received[notice] = Received(
                notice, entry["recipient_id"], entry["kind"], entry["encounter_id"], entry["digest"]
            )
        case "repeated":
            contents.repeats += 1
            if contents.received[notice].digest != entry["digest"]:
                contents.altered.append(notice)
        case "acknowledged":
            contents.acknowledged[notice] = entry["status"]
        case "refused":
            contents.refused[notice] = entry["reason"]


def _cut_torn_line(path: Path) -> None:
    """A line without an end was never answered with 2xx: its sender sends it again."""
    if path.exists():
        with path.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
