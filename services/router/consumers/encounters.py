"""The topic `encounters`: every batch is decided as a whole, in the transaction that also moves the offset."""

from collections.abc import Sequence

from contracts.envelope import Event
from kernel.database import Transaction
from services.router.application.deciding import Deciding


class Encounters:
    """Handler for `kernel.events.inbox`."""

    def __init__(self, deciding: Deciding) -> None:
        self._deciding = deciding

    async def __call__(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Raises PoisonEvent for what cannot be opened, Unavailable."""
        await self._deciding.handle(tx, events)
