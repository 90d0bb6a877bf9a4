"""All of a service's messaging, wired once: what it tells, what it reads, and the loops that both need."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from contracts.events import READERS
from kernel.bus import Broker, Bus
from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.errors import ConfigurationError, Unavailable
from kernel.events.inbox import Consumer, Handler
from kernel.events.keeper import Keeper
from kernel.events.movement import Movement
from kernel.events.outbox import Outbox
from kernel.events.relay import Relay
from kernel.events.retrying import Retrying
from kernel.migrations.schema import Schema
from kernel.migrations.version import demand_version
from kernel.service import Loop

CONNECTIONS = 3
"""Of a service's messaging, apart from those of its requests: a consumer, a retry, a look at what moves."""
INBOX_DAYS = 90
"""How long it is known that an event was handled. Longer than the log keeps records several times over, because a
producer sends again what another service has not handled by then; each time it comes, it is known again for as long."""
FORGET_SECONDS = 600.0
FORGET_AT_ONCE = 20_000

Run = Callable[[asyncio.Event], Awaitable[None]]


class Messaging:
    """`schema` is the service's; its messaging has connections of its own, whatever its requests do."""

    def __init__(self, schema: Schema, database: Database, bus: Bus, *, inbox_days: int = INBOX_DAYS) -> None:
        self.outbox = Outbox(schema.name, bus)
        self._schema = schema
        self._requests = database
        self._database = database.reserved(CONNECTIONS)
        self._bus = bus
        self._inbox_days = inbox_days
        self._movement: Movement | None = None

    def loops(
        self,
        own: Sequence[Loop],
        handlers: Mapping[str, Handler],
        *,
        member: str | None = None,
        repeated: Handler | None = None,
        rest_seconds: float = 0.0,
        relay_rest_seconds: float = 0.0,
    ) -> tuple[Loop, ...]:
        """The service's `own` loops with those of its messaging, in stopping order: what takes in work first, what
        carries away what the others tell last. As `Consumer` and `Relay` take the arguments.
        """
        for topic in handlers:
            assert self._schema.name in READERS[topic], f"contracts.events.READERS: {self._schema.name} reads {topic}"
        consumer = Consumer(
            self._database, self._bus, member=member, handlers=handlers, repeated=repeated, rest_seconds=rest_seconds
        )
        self._movement = Movement(self._database, self._bus, handlers)
        loops = [
            Loop("consumer", self._ready(consumer.run)),
            Loop("parked", self._ready(Retrying(self._database, handlers).run)),
            *own,
            Loop("inbox", self._ready(self._forget)),
            Loop("movement", self._ready(self._movement.run)),
        ]
        if isinstance(self._bus, Broker):
            relay = Relay(self._database, self.outbox, self._bus, rest_seconds=relay_rest_seconds)
            keeper = Keeper(self._database, self.outbox, self._bus)
            loops += [Loop("keeper", self._ready(keeper.run)), Loop("relay", self._ready(relay.run))]
        return tuple(loops)

    async def check(self) -> tuple[str, ...]:
        """What does not move, for /readyz. Raises Unavailable when requests cannot be served."""
        await self._demand_version(self._requests)
        return self._movement.still if self._movement is not None else ()

    async def close(self) -> None:
        await self._database.close()
        await self._requests.close()

    async def _demand_version(self, database: Database) -> None:
        try:
            async with database.transaction() as tx:
                await demand_version(tx.driver, self._schema)
        except ConfigurationError as error:
            # Somebody is about to migrate, or forgot it: the service goes on as soon as that is done.
            raise Unavailable(str(error)) from None

    def _ready(self, run: Run) -> Run:
        """The loop, begun when the schema is what this release needs and nothing of before waits in another place."""

        async def begin(stop: asyncio.Event) -> None:
            await self._demand_version(self._database)
            await self.outbox.adopt(self._database)
            await run(stop)

        return begin

    async def _forget(self, stop: asyncio.Event) -> None:
        """Forgets events that were handled so long ago that they cannot come again."""
        while not stop.is_set():
            forgotten = FORGET_AT_ONCE
            while forgotten == FORGET_AT_ONCE and not stop.is_set():
                async with self._database.transaction() as tx:
                    status = await tx.driver.execute(
                        """
                        DELETE FROM inbox WHERE ctid = ANY(ARRAY(
                            SELECT ctid FROM inbox WHERE handled_at < now() - make_interval(days => $1) LIMIT $2
                        ))
                        """,
                        self._inbox_days,
                        FORGET_AT_ONCE,
                    )
                forgotten = int(status.split()[-1])
            await wait_for(stop, FORGET_SECONDS)
