"""What was determined for the persons of an encounter, for those who may know, and with a trace that they read it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from contracts.envelope import Event
from contracts.events import RecordRead
from contracts.facts import FieldGroup, SubjectFacts
from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import NotFound
from kernel.events.outbox import Outbox
from kernel.identity import Caller
from kernel.sealing import DataKey, unseal
from kernel.subject_keys import SubjectKeys
from kernel.telemetry import current_traceparent
from rulebook.knowledge import Provenance, sources
from rulebook.loader import Law
from rulebook.person import reported_facts
from rulebook.programs import Determination, recall
from rulebook.releases import Releases
from services.eligibility.application.ports import Evaluation, Facts, Standing, Store


@dataclass(frozen=True, slots=True)
class OpenedDetermination:
    """The latest evaluation of one subject, in the clear and in the words of the release that it was made under."""

    subject_id: UUID
    evaluation: Evaluation
    determination: Determination
    law: Law
    facts: Facts
    """What it was made from."""


class Reading:
    """The use case of reading. Never commits."""

    def __init__(
        self,
        law: Law,
        releases: Releases,
        store: Store,
        keys: SubjectKeys,
        outbox: Outbox,
        clock: Clock,
        ids: Ids,
        *,
        reader_role: str,
    ) -> None:
        self._law = law
        self._releases = releases
        self._store = store
        self._keys = keys
        self._outbox = outbox
        self._clock = clock
        self._ids = ids
        self._reader_role = reader_role

    async def of_encounter(self, tx: Transaction, encounter_id: UUID, caller: Caller) -> list[OpenedDetermination]:
        """One per subject that was not erased. Raises NotFound, also for a caller who may not know.

        Raises LawError if the release of a determination is not archived.
        """
        found = await self._store.of_encounter(tx, encounter_id)
        standings = [standing for standing, _ in found]
        if not standings or not all(self._may_read(caller, standing.jurisdiction) for standing in standings):
            raise NotFound("No determinations of an encounter with this id.")
        # Straight from the table: a read must not lag behind an erasure.
        keys = await self._keys.of_subjects(tx, [standing.subject_id for standing in standings])
        granted = self._keys.granted or await self._keys.load_grants(tx)
        reports = await self._store.reports(tx, keys)
        opened = []
        for standing, latest in found:
            key = keys.get(standing.subject_id)
            if key is not None:
                groups = unseal(key, latest.determination_id, latest.sealed.groups, (FieldGroup.DETERMINATION,))
                law = await self._releases.of(latest.law_version, latest.law_digest)
                history = [one for one in reports if one.subject_id == standing.subject_id]
                known = _sources(history, standing, latest, law, key, granted)
                told = recall(groups[FieldGroup.DETERMINATION], law, known)
                opened.append(OpenedDetermination(standing.subject_id, latest, told, law, standing.facts))
        event_id = self._ids()
        await self._outbox.append(
            tx,
            [
                Event(
                    id=event_id,
                    time=self._clock(),
                    source=self._outbox.source,
                    data=RecordRead(object_kind="determinations", object_id=encounter_id, reader=caller.client_id),
                    key=encounter_id,
                    encounter_id=encounter_id,
                    jurisdiction=standings[0].jurisdiction,
                    agency=standings[0].agency,
                    correlation_id=event_id,
                    traceparent=current_traceparent(),
                )
            ],
        )
        return opened

    def _may_read(self, caller: Caller, jurisdiction: str) -> bool:
        """Need to know: operators, and whoever fills the reading role where the encounter was."""
        if caller.kind == "operator":
            return True
        if caller.kind != "recipient" or caller.recipient_id is None:
            return False
        today = self._law.local_date(jurisdiction, self._clock())
        return any(
            self._law.directory.resolve(self._reader_role, code, None, today) == caller.recipient_id
            for code in self._law.applies_in(jurisdiction)
        )


def _sources(
    reports: Iterable[Facts],
    standing: Standing,
    latest: Evaluation,
    law: Law,
    key: DataKey,
    granted: Collection[FieldGroup],
) -> dict[str, Provenance]:
    """Which event told each fact of the latest report, and when. Raises SealBroken."""
    last = standing.facts
    earlier = [one for one in reports if one.accepted_at <= last.accepted_at and one.event_id != last.event_id]
    as_of = law.local_date(standing.jurisdiction, latest.as_of)
    return sources(
        (
            Provenance("reported", str(one.event_id), one.accepted_at),
            reported_facts(
                SubjectFacts.from_groups(unseal(key, one.event_id, one.sealed.groups, granted)),
                law,
                encounter_on=law.local_date(standing.jurisdiction, one.encounter_at),
                as_of=as_of,
            ),
        )
        for one in (*earlier, last)
    )
