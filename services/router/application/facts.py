"""What is known about a subject, as far as the router may open it: the same for deciding and for reading."""

from collections.abc import Collection

from contracts.facts import FieldGroup, SubjectFacts
from kernel.database import Transaction
from kernel.errors import Unavailable
from kernel.sealing import DataKey, unseal
from kernel.subject_keys import SubjectKeys
from services.router.application.ports import Snapshot

REPORTED = frozenset(FieldGroup) - {
    FieldGroup.BASIS,
    FieldGroup.DISCLOSURE,
    FieldGroup.ACKNOWLEDGEMENT,
    FieldGroup.DETERMINATION,
    FieldGroup.FACT_ROW,
}
"""What a notice may have to tell."""
ASKED = frozenset({FieldGroup.ENCOUNTER, FieldGroup.AGE, FieldGroup.CIRCUMSTANCES, FieldGroup.STATUS})
"""What duties are decided on: the county of the encounter, and the facts of the catalogue. Nobody's name."""


async def grants(tx: Transaction, keys: SubjectKeys) -> frozenset[FieldGroup]:
    """What this service may open. Raises Unavailable if that is nothing."""
    granted = keys.granted or await keys.load_grants(tx)
    if not granted:
        # Without grants every fact would look unknown: waiting is right, deciding is not.
        raise Unavailable("keys.service_grant gives the router no field group; run `firstnotice migrate`")
    return granted


def known_of(snapshot: Snapshot, key: DataKey, groups: Collection[FieldGroup]) -> SubjectFacts:
    """Raises SealBroken."""
    return SubjectFacts.from_groups(unseal(key, snapshot.event_id, snapshot.sealed.groups, groups))
