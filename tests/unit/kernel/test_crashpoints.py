"""A crash point kills exactly there and then, and only when it was asked to."""

import signal
import subprocess
import sys

import pytest

PROGRAM = "from kernel.crashpoints import reach\nfor n in (1, 2, 3):\n    reach('a'); print(n, flush=True); reach('b')"


@pytest.mark.parametrize(
    ("planned", "printed", "code"),
    [(None, "123", 0), ("c", "123", 0), ("a:2", "1", -signal.SIGKILL), ("b", "1", -signal.SIGKILL), ("b:4", "123", 0)],
)
def test_it_dies_at_the_planned_time(planned: str | None, printed: str, code: int) -> None:
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    if planned:
        environment["FIRSTNOTICE_CRASH_AT"] = planned
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.stdout.replace("\n", ""), ended.returncode) == (printed, code)
