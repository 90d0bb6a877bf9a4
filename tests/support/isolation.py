"""Fast tests use nothing outside of their process and sleep for nothing: who does is told so on the spot."""

import os
import sys
import time
from collections.abc import Iterator

import pytest

from kernel.settings import PREFIX

_OUTSIDE = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo"})
"""Names of audit events (PEP 578)."""
_OF_A_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
_watched = False


def _refuse(event: str, *_: object) -> None:
    if _watched and event in _OUTSIDE:
        raise RuntimeError(f"{event} in a fast test: pass in what it stands for, or make it an integration test")


def _refuse_to_sleep(_: float) -> None:
    raise RuntimeError("time.sleep in a fast test: pass in a clock, or make it an integration test")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For the `conftest.py` of a folder of fast tests. Settings and the terminal of whoever runs them do not count."""
    global _watched
    for name in [*_OF_A_TERMINAL, *(name for name in os.environ if name.startswith(PREFIX))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(time, "sleep", _refuse_to_sleep)
    _watched = True
    yield
    _watched = False
