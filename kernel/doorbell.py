"""Wakes a waiting loop of this process at once; polling stays the truth, so a lost ring costs only time."""

import asyncio


class Doorbell:
    """Any number of waiters; each ring wakes all of them once, also those that come right after it."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()

    def waiter(self) -> asyncio.Event:
        """An event that every ring sets. Its owner clears it before it looks for work."""
        event = asyncio.Event()
        self.add(event)
        return event

    def add(self, waiter: asyncio.Event) -> None:
        self._waiters.add(waiter)

    def remove(self, waiter: asyncio.Event) -> None:
        self._waiters.discard(waiter)

    def ring(self) -> None:
        for waiter in self._waiters:
            waiter.set()


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
