"""The facts of a subject in one sealed piece beside its standing: what a re-run opens instead of the whole report."""

from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from struct import error as OutOfRange
from typing import Any, cast
from uuid import UUID

from contracts.facts import FieldGroup
from kernel.sealing import DataKey, Sealed, seal, unseal
from kernel.telemetry import logger
from rulebook.encoding import Columns
from rulebook.loader import Law
from rulebook.rows import GROUPS, RowFormat

_READ = frozenset(map(FieldGroup, GROUPS))
_UNFIT = (ValueError, TypeError, ArithmeticError, OutOfRange)

log = logger(__name__)


class FactRows:
    """Makes rows under one release, opens them, and turns many into columns. A service without the grants has none."""

    def __init__(self, law: Law) -> None:
        self._format = RowFormat(law)

    def made(self, opened: Mapping[FieldGroup, Any], encounter_on: date, facts_id: UUID) -> bytes | None:
        """None for facts that no row can hold: that person is evaluated alone, and stops nobody else."""
        try:
            return self._format.row(cast(Mapping[str, Any], opened), encounter_on)  # a field group is its own name
        except _UNFIT as error:
            log.warning("a person has to be evaluated alone", event_id=facts_id, error=error)
            return None

    def sealed(self, row: bytes, key: DataKey, facts_id: UUID, granted: Collection[FieldGroup]) -> Sealed | None:
        """Under the event that brought the facts; nothing where we may not open all that is in it."""
        if not self.may_be_opened(granted):
            return None
        return seal(key, facts_id, {FieldGroup.FACT_ROW: b64encode(row).decode()})

    def opened(self, sealed: Sealed, key: DataKey, facts_id: UUID) -> bytes | None:
        """Nothing if it was made under another fact catalogue. Raises SealBroken."""
        (row,) = unseal(key, facts_id, sealed.groups, [FieldGroup.FACT_ROW]).values()
        found = a2b_base64(row)
        return found if self._format.reads(found) else None

    def columns(self, rows: Sequence[bytes], today: date) -> Columns:
        return self._format.columns(rows, today)

    def may_be_opened(self, granted: Collection[FieldGroup]) -> bool:
        """Whether a service with these grants may read all that is in a row."""
        return FieldGroup.FACT_ROW in granted and all(group in granted for group in _READ)
