"""How a process that has started, and goes on for long, collects its garbage."""

import gc


def settle_memory() -> None:
    """What is there now stays: the collector need not look at it again, nor after every few allocations."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
