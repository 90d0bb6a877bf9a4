"""Follows the trail's checkpoints, so that published events stay until the trail holds them."""

from collections.abc import Sequence

from contracts.envelope import Event
from contracts.events import TrailCheckpointed
from kernel.database import Transaction
from kernel.outbox import Outbox, covered


class CoveredByTrail:
    """Handler of the topic `trail` for one service."""

    def __init__(self, outbox: Outbox) -> None:
        self._source = outbox.source

    async def __call__(self, tx: Transaction, events: Sequence[Event]) -> None:
        through: dict[int, int] = {}
        for event in events:
            if isinstance(event.data, TrailCheckpointed):
                for mark in event.data.watermarks:
                    if mark.source == self._source:
                        through[mark.shard] = max(mark.through, through.get(mark.shard, -1))
        if through:
            await covered(tx, through)
