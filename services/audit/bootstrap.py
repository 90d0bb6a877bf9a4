"""Wires the audit service."""

from contracts.events import TOPICS
from kernel.bus import Bus
from kernel.clock import Clock, Ids, system_clock, system_ids
from kernel.database import Database
from kernel.events.messaging import Messaging
from kernel.http.app import create_app
from kernel.identity import ClientRegistry
from kernel.service import Loop, Service
from services.audit.adapters.trail import PostgresTrail
from services.audit.api import lineage
from services.audit.application.watch import Watch
from services.audit.consumers.every_event import AppendToTrail
from services.audit.migrations import SCHEMA
from services.audit.settings import AuditSettings


async def build(settings: AuditSettings, bus: Bus, *, clock: Clock = system_clock, ids: Ids = system_ids) -> Service:
    """The service, ready to run. It has no key and no grant: what it stores it cannot open."""
    database = Database(settings.database_dsn, schema="audit", role="fn_audit", pool_size=settings.database_pool)
    messaging = Messaging(SCHEMA, database, bus, inbox_days=settings.inbox_days)
    outbox = messaging.outbox
    trail = PostgresTrail()
    appending = AppendToTrail(trail, bus, clock)
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
        readiness=messaging.check,
    )
    return Service(
        name="audit",
        app=app,
        host=settings.host,
        port=settings.port,
        loops=messaging.loops(
            [Loop("watch", watch.run)],
            dict.fromkeys(TOPICS, appending),
            member=settings.member,
            repeated=appending.repeated,
            rest_seconds=0.2,
            relay_rest_seconds=0.1,
        ),
        close=messaging.close,
    )
