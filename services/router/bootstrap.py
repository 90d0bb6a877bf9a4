"""Wires the router."""

import random
import time

from contracts.events import ENCOUNTERS
from kernel.bus import Bus
from kernel.clock import Clock, Ids, system_clock, system_ids
from kernel.database import Database
from kernel.events.inbox import on_events
from kernel.events.messaging import Messaging
from kernel.http.app import create_app
from kernel.identity import ClientRegistry
from kernel.keyset import Keyset
from kernel.policy import AppliedPolicies
from kernel.service import Loop, Service
from kernel.subject_keys import SubjectKeys
from rulebook.release import load_law_or_last_good
from rulebook.releases import Releases
from services.router.adapters.endpoints import Endpoints
from services.router.adapters.records import RecordStore
from services.router.adapters.store import RouterStore
from services.router.api.notices import notices_router
from services.router.api.obligations import obligations_router
from services.router.application.acknowledging import Acknowledging
from services.router.application.deciding import Deciding
from services.router.application.reading import Reading
from services.router.consumers.encounters import Encounters
from services.router.courier.addresses import Addresses, Resolver, system_resolver
from services.router.courier.engine import Courier, Policy
from services.router.courier.presence import Presence
from services.router.courier.store import CourierStore
from services.router.courier.transport import PyreqwestTransport
from services.router.domain.backoff import Backoff
from services.router.migrations import SCHEMA
from services.router.settings import RouterSettings
from services.router.timers import ReviewTimer

NAME = "router"
COURIER_CONNECTIONS = 4


async def build(
    settings: RouterSettings,
    bus: Bus,
    *,
    clock: Clock = system_clock,
    ids: Ids = system_ids,
    resolver: Resolver = system_resolver,
) -> Service:
    """The service, ready to run. Raises ConfigurationError or LawError when a file it needs is missing or wrong."""
    in_force = load_law_or_last_good(
        settings.law_path, settings.policy_overrides, on=clock().date(), allow_unsealed=settings.law_unsealed
    )
    law = in_force.law
    registry = ClientRegistry(settings.clients_file, clock=clock, audience=settings.token_audience)
    endpoints = Endpoints.load(settings.endpoints_file)
    keyset = Keyset.load(settings.keyset_file)
    database = Database(settings.database_dsn, schema=NAME, role=f"fn_{NAME}", pool_size=settings.database_pool)
    keys = SubjectKeys(keyset, service=NAME, clock=clock, cache_seconds=settings.key_cache_seconds)
    messaging = Messaging(SCHEMA, database, bus, inbox_days=settings.inbox_days)
    outbox = messaging.outbox
    # Apart from the connections of requests, so that neither waits for the other's.
    sending = database.reserved(COURIER_CONNECTIONS)
    policies = AppliedPolicies(database, outbox, in_force.versions, clock=clock, ids=ids)
    store = RouterStore()
    transport = PyreqwestTransport(
        Addresses(resolver), monotonic=time.monotonic, deadline=settings.router_deadline_seconds
    )
    courier = Courier(
        CourierStore(sending, outbox, keys, worker=ids(), owner=settings.router_owner, clock=clock, ids=ids),
        transport,
        endpoints,
        clock=clock,
        monotonic=time.monotonic,
        uniform=random.uniform,
        policy=Policy(
            deadline=settings.router_deadline_seconds,
            lease=settings.router_lease_seconds,
            held_retry=settings.router_held_retry_seconds,
            most_held=settings.router_most_in_memory,
            backoff=Backoff(base=settings.router_retry_base_seconds, cap=settings.router_retry_cap_seconds),
        ),
    )
    deciding = Deciding(law=law, store=store, keys=keys, outbox=outbox, departures=courier, clock=clock, ids=ids)
    acknowledging = Acknowledging(store=store, keys=keys, outbox=outbox, clock=clock, ids=ids)
    releases = Releases(law, settings.law_path)
    reading = Reading(law=law, releases=releases, store=RecordStore(), keys=keys, outbox=outbox, clock=clock, ids=ids)

    async def close() -> None:
        await transport.aclose()
        await sending.close()
        await messaging.close()

    return Service(
        name=NAME,
        app=create_app(
            service=NAME,
            title="firstnotice router",
            routers=[notices_router(database, acknowledging), obligations_router(database, reading)],
            registry=registry,
            settings=settings,
            readiness=messaging.check,
            shows=in_force.shown,
        ),
        host=settings.host,
        port=settings.port,
        loops=messaging.loops(
            [
                Loop("review_timer", ReviewTimer(sending, deciding, store, clock).run),
                Loop("policies", policies.run),
                Loop("courier", courier.run),
                Loop("presence", Presence(sending, worker=courier.worker, wake=courier.wake).run),
            ],
            {ENCOUNTERS: on_events(Encounters(deciding))},
            member=settings.member,
            relay_rest_seconds=0.05,
        ),
        close=close,
    )
