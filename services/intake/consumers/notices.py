"""Follows the topic `notices`, so that an agency sees what became of its reports without asking another service."""

from collections.abc import Sequence

from contracts.envelope import Event
from kernel.database import Transaction
from services.intake.application.following import Following


class Notices:
    """Handler of the topic `notices`."""

    def __init__(self, following: Following) -> None:
        self._following = following

    async def __call__(self, tx: Transaction, events: Sequence[Event]) -> None:
        await self._following.follow(tx, events)
