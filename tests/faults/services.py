"""Runs services in this process as the launcher does, with one of our own safeguards taken out if a test wants that.

The fault tests prove with the sabotaged ones that they would notice.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from kernel.bus.kafka import KafkaBus
from kernel.crashpoints import reach
from kernel.events.inbox import Consumer, Received
from kernel.events.relay import Relay
from kernel.settings import load_settings
from launcher import catalogue


def take_out_the_inbox() -> None:
    """Every delivery counts as new."""

    admit = Consumer._admit

    async def all_new(
        self: Consumer, tx: Any, nexts: Any, received: Sequence[Received]
    ) -> tuple[list[Received], list[Received], list[Received]]:
        await admit(self, tx, nexts, received)
        return list(received), [], []

    Consumer._admit = all_new  # type: ignore[method-assign]


def mark_before_publishing() -> None:
    """The relay lets go of events before the bus has them."""
    numbered = Relay._numbered

    async def let_go(self: Relay, connection: Any, rows: Any) -> Any:
        found = await numbered(self, connection, rows)
        await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in found])
        reach("sabotage.marked")
        return found

    Relay._numbered = let_go  # type: ignore[method-assign]


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
