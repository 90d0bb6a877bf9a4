"""Wires intake: the only place that knows which parts it is made of."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from contracts.events import NOTICES
from kernel.bus import Bus
from kernel.clock import Clock, Ids, system_clock, system_ids
from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.events.inbox import on_events
from kernel.events.messaging import Messaging
from kernel.http.app import create_app
from kernel.identity import ClientRegistry
from kernel.keyset import Keyset
from kernel.policy import AppliedPolicies
from kernel.service import Loop, Service
from kernel.subject_keys import SubjectKeys
from rulebook.release import load_law_or_last_good
from services.intake.adapters.follow_up import PostgresFollowUps
from services.intake.adapters.states import PostgresStates
from services.intake.adapters.store import PostgresStore
from services.intake.api.routes import router
from services.intake.application.accept import Report
from services.intake.application.batcher import Batcher
from services.intake.application.following import Following
from services.intake.application.intake import Answer, Intake, Known, claims
from services.intake.consumers.notices import Notices
from services.intake.edge import Edge
from services.intake.migrations import SCHEMA
from services.intake.settings import IntakeSettings

NAME = "intake"
FORGET_SECONDS = 3600.0


async def build(settings: IntakeSettings, bus: Bus, *, clock: Clock = system_clock, ids: Ids = system_ids) -> Service:
    """The service, ready to run. Raises ConfigurationError; needs neither the database nor the bus to be there yet."""
    database = Database(settings.database_dsn, schema=NAME, role=SCHEMA.role, pool_size=settings.database_pool)
    messaging = Messaging(SCHEMA, database, bus, inbox_days=settings.inbox_days)
    outbox = messaging.outbox
    keyset = Keyset.load(settings.keyset_file)
    keys = SubjectKeys(keyset, service=NAME, clock=clock, cache_seconds=settings.key_cache_seconds)
    store = PostgresStore(keys, outbox)
    in_force = load_law_or_last_good(settings.law_path, on=clock().date(), allow_unsealed=settings.law_unsealed)
    law = in_force.law
    policies = AppliedPolicies(database, outbox, in_force.versions, clock=clock, ids=ids)
    intake = Intake(
        store,
        blind=keyset.blind_index,
        law=law,
        jurisdiction=settings.jurisdiction,
        clock=clock,
        ids=ids,
    )
    edge = Edge(database)

    async def write(reports: Sequence[Report]) -> Sequence[Answer | Known | Exception]:
        return await edge.commit(lambda tx: intake.report(tx, reports))

    async def forget(stop: asyncio.Event) -> None:
        while not stop.is_set():
            before = clock() - timedelta(days=settings.remember_days)
            async with database.transaction() as tx:
                await store.forget_requests(tx, before)
            await wait_for(stop, FORGET_SECONDS)

    writer: Batcher[Report, Answer | Known] = Batcher(write, claims)
    app = create_app(
        service=NAME,
        title="firstnotice intake",
        routers=[
            router(intake, writer, edge, database, PostgresStates(outbox, settings.jurisdiction), clock=clock, ids=ids)
        ],
        registry=ClientRegistry(settings.clients_file, clock=clock, audience=settings.token_audience),
        settings=settings,
        readiness=messaging.check,
        shows=in_force.shown,
    )
    loops = messaging.loops(
        [Loop("writer", writer.run), Loop("forget", forget), Loop("policies", policies.run)],
        {NOTICES: on_events(Notices(Following(PostgresFollowUps())))},
        member=settings.member,
        rest_seconds=0.1,
    )
    return Service(NAME, app, settings.host, settings.port, loops, messaging.close)
