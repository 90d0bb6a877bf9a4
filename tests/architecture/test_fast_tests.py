"""What keeps the tests before each commit quick, and their findings true on a busy machine."""

import ast
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


USES: list[Callable[[], object]] = [
    lambda: time.sleep(0),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.create_server(("127.0.0.1", 0)),
]


@pytest.mark.parametrize("use", USES, ids=["sleeps", "connects", "listens"])
def test_a_fast_test_that_sleeps_or_uses_the_network_is_told_so(use: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="integration test"):
        use()


def test_how_often_a_property_is_tried_and_how_long_is_decided_in_one_place() -> None:
    deciding = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "hypothesis"
        if any(name.name in ("settings", "HealthCheck") for name in node.names)
    }
    assert deciding == {"support/properties.py"}
