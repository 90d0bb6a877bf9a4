"""The topic `encounters`: whoever is reported, and whatever is amended, is matched to programs."""

from collections.abc import Sequence

from contracts.envelope import Event
from kernel.database import Transaction
from services.eligibility.application.matching import Matching


class Encounters:
    """Handler of the topic `encounters`."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching

    async def __call__(self, tx: Transaction, events: Sequence[Event]) -> None:
        await self._matching.encounters(tx, events)
