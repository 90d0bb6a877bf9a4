"""How long to wait before trying again what failed."""

import random


def backoff_seconds(failures: int, cap: float = 5.0) -> float:
    """After failing so many times in a row: full jitter, at most `cap` seconds."""
    return random.uniform(0.05, min(cap, 0.1 * 2.0 ** min(failures, 20)))
