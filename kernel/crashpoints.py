"""Places where fault tests kill the process; in production they do nothing."""

import os
import signal

_NAME, _, _HIT = os.environ.get("FIRSTNOTICE_CRASH_AT", "").partition(":")
_left = int(_HIT or 1)


def reach(name: str) -> None:
    """Kills this process by SIGKILL if `FIRSTNOTICE_CRASH_AT` is `name:n` and this is the n-th hit."""
    global _left
    if name == _NAME:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
