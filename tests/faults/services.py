"""Runs services in this process as the launcher does, with one of our own safeguards taken out if a test wants that.

The fault tests prove with the sabotaged ones that they would notice.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from kernel.bus.kafka import KafkaBus
from kernel.crashpoints import reach
from kernel.inbox import Consumer, Received
from kernel.relay import Relay
from kernel.settings import load_settings
from launcher import catalogue


def take_out_the_inbox() -> None:
    """Every delivery counts as new."""

    admit = Consumer._admit

    async def all_new(
        self: Consumer, tx: Any, generation: str, nexts: Any, received: Sequence[Received]
    ) -> tuple[list[Received], set[UUID]]:
        _, parked = await admit(self, tx, generation, nexts, received)
        return list(received), parked

    Consumer._admit = all_new  # type: ignore[method-assign]


def mark_before_publishing() -> None:
    """The relay notes events as sent before the bus has them."""
    publish, mark = Relay._publish, Relay._mark

    async def mark_then_publish(self: Relay, connection: Any, rows: Any, sequences: Any) -> None:
        async with connection.transaction():
            await mark(self, connection, rows, sequences)
        reach("sabotage.marked")
        await publish(self, connection, rows, sequences)

    Relay._publish = mark_then_publish  # type: ignore[method-assign]


SABOTAGE = {"": lambda: None, "no-inbox": take_out_the_inbox, "mark-first": mark_before_publishing}


async def run(services: list[str]) -> None:
    stop = asyncio.Event()
    catalogue.stop_on_signals(stop)
    ports = orjson.loads(os.environ["TEST_PORTS"])
    embedded = None
    async with asyncio.TaskGroup() as group:
        for service in services:
            settings = load_settings(catalogue.settings_class(service), port=ports[service])
            if settings.bus == "kafka":
                bus: Any = KafkaBus(str(settings.kafka_bootstrap_servers), client_id=f"firstnotice-{service}")
            else:
                bus = embedded = embedded or catalogue.embedded_bus(settings.database_dsn)
            group.create_task((await catalogue.build(service, settings, bus)).run(stop))


if __name__ == "__main__":
    SABOTAGE[os.environ.get("TEST_SABOTAGE", "")]()
    catalogue.run_in_loop(run(sys.argv[1:]))
