"""Proves what was determined: the same facts under the same release on the same day give the same bytes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from contracts.facts import FieldGroup, SubjectFacts
from kernel.database import Transaction
from kernel.errors import NotFound, SubjectErased
from kernel.sealing import unseal
from kernel.subject_keys import SubjectKeys
from rulebook.programs import record
from rulebook.releases import Releases
from services.eligibility.application.matching import content_of
from services.eligibility.application.ports import Store


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it. Says nothing about the person."""

    determination_id: UUID
    law_version: str
    law_digest: str
    as_of: datetime
    same: bool
    """Whether every byte is the same."""


class Replaying:
    """The use case of replay. Stores and publishes nothing."""

    def __init__(self, releases: Releases, store: Store, keys: SubjectKeys) -> None:
        self._releases = releases
        self._store = store
        self._keys = keys

    async def replay(self, tx: Transaction, determination_id: UUID) -> Replayed:
        """Raises NotFound, SubjectErased, LawError when its release is not archived, and SealBroken."""
        stored = await self._store.evaluated(tx, determination_id)
        if stored is None:
            raise NotFound("No determination with this id; perhaps its subject was erased.")
        evaluation, facts, jurisdiction = stored
        granted = self._keys.granted or await self._keys.load_grants(tx)
        key = (await self._keys.of_subjects(tx, [evaluation.subject_id])).get(evaluation.subject_id)
        if key is None:
            raise SubjectErased("the subject of this determination was erased: it can no longer be worked out")
        law = await self._releases.of(evaluation.law_version, evaluation.law_digest)
        again = record(
            SubjectFacts.from_groups(unseal(key, facts.event_id, facts.sealed.groups, granted)),
            law,
            jurisdiction=jurisdiction,
            encounter_at=facts.encounter_at,
            as_of=evaluation.as_of,
        )
        opened = unseal(key, determination_id, evaluation.sealed.groups, (FieldGroup.DETERMINATION,))
        # What was sealed is JSON with sorted keys; read and written again it is the same bytes.
        was = orjson.dumps(opened[FieldGroup.DETERMINATION], option=orjson.OPT_SORT_KEYS)
        now = orjson.dumps(content_of(again, facts), option=orjson.OPT_SORT_KEYS)
        return Replayed(
            determination_id, evaluation.law_version, evaluation.law_digest, evaluation.as_of, same=was == now
        )
