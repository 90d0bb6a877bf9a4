"""Wires the audit service."""

from collections.abc import Sequence

from contracts.events import TOPICS, TRAIL
from kernel.bus import Bus
from kernel.clock import Clock, Ids, system_clock, system_ids
from kernel.database import Database, Transaction
from kernel.http.app import create_app
from kernel.identity import ClientRegistry
from kernel.inbox import Consumer, Received, on_events
from kernel.outbox import Outbox
from kernel.relay import Relay
from kernel.retention import CoveredByTrail
from kernel.service import Loop, Service
from services.audit.adapters.trail import PostgresTrail
from services.audit.api import lineage
from services.audit.application.watch import Watch
from services.audit.consumers.every_event import AppendToTrail
from services.audit.settings import AuditSettings


async def build(settings: AuditSettings, bus: Bus, *, clock: Clock = system_clock, ids: Ids = system_ids) -> Service:
    """The service, ready to run. It has no key and no grant: what it stores it cannot open."""
    database = Database(settings.database_dsn, schema="audit", role="fn_audit", pool_size=settings.database_pool)
    outbox = Outbox("audit")
    trail = PostgresTrail()
    appending = AppendToTrail(trail, bus, clock)
    retention = on_events(CoveredByTrail(outbox))

    async def append_and_follow(tx: Transaction, received: Sequence[Received]) -> None:
        await appending(tx, received)
        await retention(tx, received)

    consumer = Consumer(
        database,
        bus,
        member="audit-1",
        handlers=dict.fromkeys(TOPICS, appending) | {TRAIL: append_and_follow},
        repeated=appending.repeated,
        rest_seconds=0.2,
    )
    watch = Watch(
        database,
        outbox,
        trail,
        clock=clock,
        ids=ids,
        jurisdiction=settings.jurisdiction,
        every_seconds=settings.audit_checkpoint_seconds,
        gap_seconds=settings.audit_gap_seconds,
    )
    app = create_app(
        service="audit",
        title="firstnotice audit",
        routers=[lineage.router(database, outbox, trail, clock=clock, ids=ids)],
        registry=ClientRegistry(settings.clients_file, clock=clock, audience=settings.token_audience),
        settings=settings,
        readiness=database.check,
    )
    return Service(
        name="audit",
        app=app,
        host=settings.host,
        port=settings.port,
        loops=[
            Loop("consumer", consumer.run),
            Loop("watch", watch.run),
            Loop("relay", Relay(database, outbox, bus, clock, rest_seconds=0.1).run),
        ],
        close=database.close,
    )
