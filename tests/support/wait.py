"""Waiting for a condition, never for luck."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")


async def until(
    look: Callable[[], Value | Awaitable[Value]], holds: Callable[[Value], bool], *, seconds: float = 30
) -> Value:
    """Looks again and again until the condition holds; fails with the last look when the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        seen = look()
        value: Value = await seen if inspect.isawaitable(seen) else seen
        if holds(value):
            return value
        if loop.time() > deadline:
            raise AssertionError(f"did not come to hold within {seconds} s; last seen: {value!r}")
        await asyncio.sleep(0.02)
