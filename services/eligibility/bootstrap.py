"""Wires the eligibility service."""

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
from services.eligibility.adapters.rerun_process import RerunProcess, environment
from services.eligibility.adapters.reruns import PostgresReruns
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.api import determinations, screen
from services.eligibility.application.matching import Matching
from services.eligibility.application.reading import Reading
from services.eligibility.application.rerunning import Rerunning
from services.eligibility.application.screening import Screener
from services.eligibility.consumers.encounters import Encounters
from services.eligibility.migrations import SCHEMA
from services.eligibility.settings import EligibilitySettings
from services.eligibility.timers.due_dates import DueDates
from services.eligibility.timers.law_release import LawRelease

NAME = "eligibility"


async def build(
    settings: EligibilitySettings, bus: Bus, *, clock: Clock = system_clock, ids: Ids = system_ids
) -> Service:
    """The service, ready to run. Raises ConfigurationError or LawError when a file it needs is missing or wrong."""
    today = clock().date()
    in_force = load_law_or_last_good(settings.law_path, on=today, allow_unsealed=settings.law_unsealed)
    law = in_force.law
    registry = ClientRegistry(settings.clients_file, clock=clock, audience=settings.token_audience)
    keyset = Keyset.load(settings.keyset_file)
    database = Database(settings.database_dsn, schema=NAME, role=f"fn_{NAME}", pool_size=settings.database_pool)
    keys = SubjectKeys(keyset, service=NAME, clock=clock, cache_seconds=settings.key_cache_seconds)
    messaging = Messaging(SCHEMA, database, bus, inbox_days=settings.inbox_days)
    outbox = messaging.outbox
    policies = AppliedPolicies(database, outbox, in_force.versions, clock=clock, ids=ids)
    store = PostgresStore()
    matching = Matching(law, store, keys, outbox, clock)
    releases = Releases(law, settings.law_path)
    reading = Reading(law, releases, store, keys, outbox, clock, ids, reader_role=settings.eligibility_reader_role)
    screener = Screener(law, clock, jurisdiction=settings.jurisdiction)
    due_dates = DueDates(database, matching, poll_seconds=settings.eligibility_due_poll_seconds)
    rerunning = Rerunning(law, store, PostgresReruns(), matching, clock)
    law_release = LawRelease(database, rerunning, lambda: RerunProcess(environment(settings), today))
    return Service(
        name=NAME,
        app=create_app(
            service=NAME,
            title="firstnotice eligibility",
            routers=[determinations.router(database, reading), screen.router(screener)],
            registry=registry,
            settings=settings,
            readiness=messaging.check,
            shows=in_force.shown,
        ),
        host=settings.host,
        port=settings.port,
        loops=messaging.loops(
            [
                Loop("due_dates", due_dates.run),
                Loop("law_release", law_release.run),
                Loop("policies", policies.run),
            ],
            {ENCOUNTERS: on_events(Encounters(matching))},
            member=settings.member,
            rest_seconds=0.05,
            relay_rest_seconds=0.05,
        ),
        close=messaging.close,
    )
