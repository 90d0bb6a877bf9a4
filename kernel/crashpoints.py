"""Named places where the fault tests kill the process, to prove that a restart there loses and doubles nothing."""

import os
import signal

VARIABLE = "FIRSTNOTICE_CRASH_AT"
"""`name:n` kills the process at the n-th time that the point is reached (`name` alone: the first time)."""


def _planned(value: str) -> tuple[str, int]:
    name, _, count = value.partition(":")
    return name, int(count or 1)


_name, _remaining = _planned(os.environ.get(VARIABLE, ""))

if _name:

    def reach(name: str) -> None:
        """Dies here by SIGKILL, without any clean-up, if this is the planned point and time."""
        global _remaining
        if name == _name:
            _remaining -= 1
            if _remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)

else:

    def reach(name: str) -> None:
        """Does nothing outside fault tests."""
