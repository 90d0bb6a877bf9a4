"""Evaluates all programs for a person, and publishes one event when, and only when, there is something new to say."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.envelope import Event
from contracts.events import (
    DeterminationChanged,
    DeterminationMade,
    EncounterAmended,
    EncounterReported,
    EncounterRetracted,
    SubjectErased,
)
from contracts.facts import FieldGroup, SubjectFacts
from kernel.clock import Clock
from kernel.database import Transaction
from kernel.errors import Unavailable
from kernel.events.outbox import Outbox
from kernel.sealing import DataKey, Sealed, seal, unseal
from kernel.subject_keys import SubjectKeys
from kernel.telemetry import counter, current_traceparent, logger, tracing
from rulebook.loader import Law
from rulebook.population import next_common_change
from rulebook.programs import record
from rulebook.records import Recorded
from services.eligibility.application.ports import Evaluation, Facts, Standing, Store
from services.eligibility.application.rows import FactRows
from services.eligibility.domain.determinations import answers_tag, determination_id, look_again_on

EVALUATIONS = counter("evaluations", "Persons evaluated, by what came of it", ["outcome"])
"""`made`, `changed`, `unchanged`; `erased`: the subject's key is gone; `failed`: looked at again the next day."""

_DAYS = 64
"""Days for which it is kept when the law changes next."""

log = logger(__name__)


@dataclass
class _News:
    """What one transaction has to write."""

    facts: list[Facts] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    standings: dict[UUID, Standing] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class Matching:
    """The use cases that evaluate. They never commit: whoever calls opens the transaction."""

    def __init__(self, law: Law, store: Store, keys: SubjectKeys, outbox: Outbox, clock: Clock) -> None:
        self._law = law
        self._store = store
        self.keys = keys
        self._outbox = outbox
        self._clock = clock
        self.rows = FactRows(law)
        self._everybody_on: dict[tuple[str, date], date | None] = {}

    async def encounters(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Events of the topic `encounters`, in order. Raises SealBroken or LawError for one that cannot be handled.

        Evaluated as of the moment of acceptance, on that day in the jurisdiction's time zone, so that an event gives
        the same answers whenever it is handled. Days that have passed since are the calendar's: see `due`.
        """
        erased = {e.subject_id for e in events if isinstance(e.data, SubjectErased) and e.subject_id is not None}
        if erased:
            await self._store.forget(tx, erased)
        reports = [facts for event in events if (facts := _facts_of(event)) and facts.subject_id not in erased]
        if reports:
            await self._reported(tx, reports, {event.id: event for event in events})
        retracted = {e.encounter_id or e.key for e in events if isinstance(e.data, EncounterRetracted)}
        if retracted:
            await self._store.retract(tx, retracted)

    async def _reported(self, tx: Transaction, reports: Sequence[Facts], events: Mapping[UUID, Event]) -> None:
        known = await self._store.known(tx, [facts.event_id for facts in reports])
        standings = await self._store.standings(tx, {facts.subject_id for facts in reports})
        keys = await self.open_keys(tx, (facts.sealed.key_id for facts in reports))
        news = _News()
        for facts in reports:
            if facts.event_id in known:
                continue
            key = keys.get(facts.sealed.key_id)
            if key is None:
                EVALUATIONS.labels("erased").inc()
                log.info("a subject was erased; nothing to evaluate", event_id=facts.event_id)
                continue
            event = events[facts.event_id]
            before = news.standings.get(facts.subject_id) or standings.get(facts.subject_id)
            kept = self._granted(facts)
            opened = self.opened(kept, key)
            found = self._evaluate(opened, kept, event.jurisdiction, facts.accepted_at)
            identity = determination_id(facts.event_id, self._law.digest)
            news.facts.append(kept)
            with tracing(event.traceparent):
                outcome = self._conclude(
                    news, kept, found, before, key, identity, facts.accepted_at, _Origin.of(event), caused_by=event.id
                )
            row = self.row(opened, kept, event.jurisdiction, key)
            news.standings[facts.subject_id] = replace(news.standings[facts.subject_id], row=row)
            EVALUATIONS.labels(outcome).inc()
            # One person at a time: in the embedded mode a first notice may be waiting for this thread.
            await asyncio.sleep(0)
        await self._write(tx, news)

    async def due(self, tx: Transaction, limit: int) -> int:
        """Evaluates subjects again whose day has come; only changes are stored and published. Returns how many.

        Safe to run on several replicas: each locks its own subjects, and the day moves on in the same transaction.
        """
        now = self._clock()
        today = {code: self._law.local_date(code, now) for code in self._law.jurisdictions}
        standings = await self._store.due(tx, today, limit)
        await self.again(tx, standings, now)
        return len(standings)

    async def again(self, tx: Transaction, standings: Sequence[Standing], now: datetime) -> Counter[str]:
        """Evaluates subjects again whose rows are locked; only changes are stored and published.

        Counts what came of it, by the outcomes of `EVALUATIONS`. A person whose facts do not open stops nobody else's.
        """
        keys = await self.open_keys(tx, (one.facts.sealed.key_id for one in standings))
        news = _News()
        days: dict[UUID, date | None] = {}
        found: Counter[str] = Counter()
        for standing in standings:
            day = self._law.local_date(standing.jurisdiction, now)
            key = keys.get(standing.facts.sealed.key_id)
            if key is None:
                outcome, days[standing.subject_id] = "erased", None
            else:
                try:
                    outcome, days[standing.subject_id] = self._again(news, standing, key, now)
                except Exception as error:  # noqa: BLE001 - said aloud and counted; one person must not stop the others'
                    log.error("a person could not be evaluated again", subject_id=standing.subject_id, error=error)
                    outcome, days[standing.subject_id] = "failed", day + timedelta(days=1)
            found[outcome] += 1
            await asyncio.sleep(0)
        for outcome, count in found.items():
            EVALUATIONS.labels(outcome).inc(count)
        await self._store.look_again(tx, {who: on for who, on in days.items() if who not in news.standings})
        await self._write(tx, news)
        return found

    def _again(self, news: _News, standing: Standing, key: DataKey, now: datetime) -> tuple[str, date | None]:
        found = self._evaluate(self.opened(standing.facts, key), standing.facts, standing.jurisdiction, now)
        if answers_tag(key.secret, found.answers()) == standing.answers:
            return "unchanged", self._look_again_on(found)
        identity = determination_id(standing.facts.event_id, self._law.digest, standing.latest_id)
        with tracing(standing.traceparent):
            self._conclude(
                news,
                standing.facts,
                found,
                standing,
                key,
                identity,
                now,
                _Origin.of(standing),
                caused_by=standing.published_id,
            )
        return "changed", self._look_again_on(found)

    def opened(self, facts: Facts, key: DataKey) -> dict[FieldGroup, Any]:
        """What we may know of them. Raises SealBroken."""
        return unseal(key, facts.event_id, facts.sealed.groups, self.keys.granted)

    def row(self, opened: Mapping[FieldGroup, Any], facts: Facts, jurisdiction: str, key: DataKey) -> Sealed | None:
        """The facts for re-runs, if the grants and the facts allow one."""
        made = self.rows.made(opened, self._law.local_date(jurisdiction, facts.encounter_at), facts.event_id)
        return None if made is None else self.rows.sealed(made, key, facts.event_id, self.keys.granted)

    def _evaluate(self, opened: dict[FieldGroup, Any], facts: Facts, jurisdiction: str, as_of: datetime) -> Recorded:
        return record(
            SubjectFacts.from_groups(opened),
            self._law,
            jurisdiction=jurisdiction,
            encounter_at=facts.encounter_at,
            as_of=as_of,
        )

    def _conclude(
        self,
        news: _News,
        facts: Facts,
        found: Recorded,
        before: Standing | None,
        key: DataKey,
        identity: UUID,
        as_of: datetime,
        origin: "_Origin",
        *,
        caused_by: UUID,
    ) -> str:
        """Adds one evaluation to the news, with an event if it is the first or changes an answer; says which."""
        answers = answers_tag(key.secret, found.answers())
        changed = before is not None and before.answers != answers
        published = before is None or changed
        # The event has the determination's own id, so one seal serves the row and the event.
        sealed = seal(key, identity, {FieldGroup.DETERMINATION: content_of(found, facts)})
        evaluation = Evaluation(
            determination_id=identity,
            subject_id=facts.subject_id,
            facts_id=facts.event_id,
            as_of=as_of,
            law_version=found.law_version,
            law_digest=found.law_digest,
            made_at=self._clock(),
            sealed=sealed,
            published=published,
            replaces=before.published_id if before else None,
        )
        news.evaluations.append(evaluation)
        news.standings[facts.subject_id] = Standing(
            subject_id=facts.subject_id,
            encounter_id=facts.encounter_id,
            agency=origin.agency,
            jurisdiction=origin.jurisdiction,
            correlation_id=origin.correlation_id,
            traceparent=current_traceparent(),
            facts=facts,
            latest_id=identity,
            answers=answers,
            law_digest=found.law_digest,
            published_id=identity if before is None or changed else before.published_id,
            look_again_on=self._look_again_on(found),
        )
        if published:
            news.events.append(self._event(evaluation, facts, origin, len(found.programs), caused_by))
        return "made" if before is None else "changed" if changed else "unchanged"

    def _look_again_on(self, found: Recorded) -> date | None:
        return look_again_on(found.next_change_on, found.as_of, self.everybody_on(found.jurisdiction, found.as_of))

    def everybody_on(self, jurisdiction: str, today: date) -> date | None:
        """The next day on which the law changes for everybody."""
        key = jurisdiction, today
        if key not in self._everybody_on:
            if len(self._everybody_on) >= _DAYS:
                self._everybody_on.clear()
            self._everybody_on[key] = next_common_change(self._law, jurisdiction, today)
        return self._everybody_on[key]

    def _event(self, evaluation: Evaluation, facts: Facts, origin: "_Origin", programs: int, caused_by: UUID) -> Event:
        # `next_change_on` is in the sealed part only: in the open it would tell a birthday.
        data: DeterminationMade | DeterminationChanged
        if evaluation.replaces is None:
            data = DeterminationMade(
                determination_id=evaluation.determination_id, as_of=evaluation.as_of, programs=programs
            )
        else:
            data = DeterminationChanged(
                determination_id=evaluation.determination_id,
                replaces=evaluation.replaces,
                as_of=evaluation.as_of,
                programs=programs,
            )
        return Event(
            id=evaluation.determination_id,
            time=evaluation.made_at,
            source=self._outbox.source,
            data=data,
            key=facts.encounter_id,
            encounter_id=facts.encounter_id,
            subject_id=facts.subject_id,
            agency=origin.agency,
            jurisdiction=origin.jurisdiction,
            correlation_id=origin.correlation_id,
            causation_id=caused_by,
            law_version=evaluation.law_version,
            policy_version=self._law.policy_version,
            traceparent=current_traceparent(),
            key_id=evaluation.sealed.key_id,
            commitment=evaluation.sealed.commitment,
            sealed=evaluation.sealed.groups,
        )

    def _granted(self, facts: Facts) -> Facts:
        """Without the groups that we may not open: names and narratives never come into this schema."""
        groups = {name: part for name, part in facts.sealed.groups.items() if name in self.keys.granted}
        return replace(facts, sealed=Sealed(facts.sealed.key_id, facts.sealed.commitment, groups))

    async def open_keys(self, tx: Transaction, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Those that were not erased, once it is known what this service may open. Raises Unavailable."""
        if not self.keys.granted and not await self.keys.load_grants(tx):
            # Without grants every fact would look unknown: waiting is right, answering is not.
            raise Unavailable("keys.service_grant gives this service no field group; run `firstnotice migrate`")
        return await self.keys.by_id(tx, set(key_ids))

    async def _write(self, tx: Transaction, news: _News) -> None:
        if news.evaluations:
            await self._store.keep(tx, news.facts, news.evaluations, list(news.standings.values()))
            await self._outbox.append(tx, news.events)


def content_of(found: Recorded, facts: Facts) -> dict[str, Any]:
    """What is sealed as a determination: the record, with the commitment to the facts that it was made from."""
    return found.content() | {"facts_commitment": facts.sealed.commitment.hex()}


@dataclass(frozen=True, slots=True)
class _Origin:
    """Whose encounter it is, as every event of it says."""

    agency: str | None
    jurisdiction: str
    correlation_id: UUID

    @classmethod
    def of(cls, source: Event | Standing) -> "_Origin":
        return cls(source.agency, source.jurisdiction, source.correlation_id)


def _facts_of(event: Event) -> Facts | None:
    """What an event reports of a subject; None if it reports no facts."""
    data = event.data
    if not isinstance(data, EncounterReported | EncounterAmended):
        return None
    if event.subject_id is None or event.key_id is None or event.commitment is None:
        raise ValueError("a report of facts without a subject or its sealed part")
    return Facts(
        event_id=event.id,
        subject_id=event.subject_id,
        encounter_id=event.encounter_id or event.key,
        encounter_at=data.encounter_at,
        accepted_at=data.accepted_at,
        sealed=Sealed(event.key_id, event.commitment, event.sealed),
    )
