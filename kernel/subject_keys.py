"""The data key of every subject, in the one schema that holds keys: deleting a row there erases a person everywhere.

Design: `docs/decisions/0004-sealing-and-where-keys-live.md`. The server itself refuses the audit service.
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contracts.facts import FieldGroup
from kernel.clock import Clock
from kernel.database import Transaction
from kernel.errors import SubjectErased
from kernel.keyset import KeyMissing, Keyset
from kernel.sealing import DataKey

_CACHED_KEYS = 20_000
_ERASED = "FN001"
"""SQLSTATE of the trigger that refuses a new key for an erased subject."""

_FACTS = frozenset(
    {
        FieldGroup.IDENTITY,
        FieldGroup.ENCOUNTER,
        FieldGroup.AGE,
        FieldGroup.CIRCUMSTANCES,
        FieldGroup.STATUS,
        FieldGroup.NARRATIVE,
    }
)

GRANTS: dict[str, frozenset[FieldGroup]] = {
    "intake": _FACTS,
    "router": _FACTS - {FieldGroup.NARRATIVE}
    | {FieldGroup.BASIS, FieldGroup.DISCLOSURE, FieldGroup.ACKNOWLEDGEMENT, FieldGroup.DETERMINATION},
    "eligibility": frozenset(
        {
            FieldGroup.ENCOUNTER,
            FieldGroup.AGE,
            FieldGroup.CIRCUMSTANCES,
            FieldGroup.STATUS,
            FieldGroup.DETERMINATION,
            FieldGroup.FACT_ROW,
        }
    ),
}
"""What each service may open, as first installed; table `keys.service_grant` is what counts. Audit opens nothing."""


class SubjectKeys:
    """The data keys that one service may use.

    A key that was read stays in memory for `cache_seconds`, by the monotonic clock (a wall clock set back must not
    keep an erased key alive), so an erasure reaches every process within that time.
    """

    def __init__(
        self,
        keyset: Keyset,
        *,
        service: str,
        clock: Clock,
        cache_seconds: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.granted: frozenset[FieldGroup] = frozenset()
        self._keyset = keyset
        self._service = service
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._cache: dict[UUID, tuple[float, DataKey]] = {}

    async def load_grants(self, tx: Transaction) -> frozenset[FieldGroup]:
        """Reads what this service may open; until then it opens nothing. Groups of newer versions are left out."""
        rows = await tx.driver.fetch("SELECT field_group FROM keys.service_grant WHERE service = $1", self._service)
        known = {group.value for group in FieldGroup}
        self.granted = frozenset(FieldGroup(row[0]) for row in rows if row[0] in known)
        return self.granted

    async def create(self, tx: Transaction, subject_ids: Sequence[UUID]) -> dict[UUID, DataKey]:
        """The key of each subject, by subject: made and stored in this transaction where there was none.

        Raises SubjectErased when one of them was erased: nobody brings an erased subject back.
        """
        wanted = list(dict.fromkeys(subject_ids))
        if not wanted:
            return {}
        drafts = {subject: DataKey(uuid4(), subject, secrets.token_bytes(32)) for subject in wanted}
        wrapped = [self._keyset.wrap(key.key_id, key.subject_id, key.secret) for key in drafts.values()]
        try:
            stored = await tx.driver.fetch(
                """
                INSERT INTO keys.subject_key (key_id, subject_id, kek_id, wrapped, created_at)
                SELECT key_id, subject_id, kek_id, wrapped, $5
                FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS n (key_id, subject_id, kek_id, wrapped)
                ORDER BY subject_id
                ON CONFLICT (subject_id) DO NOTHING
                RETURNING subject_id
                """,
                [key.key_id for key in drafts.values()],
                wanted,
                [kek_id for kek_id, _ in wrapped],
                [secret for _, secret in wrapped],
                self._clock(),
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == _ERASED:
                raise SubjectErased("a subject of this request was erased") from None
            raise
        keys = {row[0]: drafts[row[0]] for row in stored}
        if len(keys) < len(wanted):
            keys |= await self.of_subjects(tx, [subject for subject in wanted if subject not in keys])
        # Cached only once durable: a key of a transaction that was undone must never seal anything.
        tx.after_commit.append(lambda: self._remember(keys.values()))
        return keys

    async def by_id(self, tx: Transaction, key_ids: Collection[UUID]) -> dict[UUID, DataKey]:
        """The keys with these ids; one that was erased is absent. Raises KeyMissing, SealBroken."""
        now = self._monotonic()
        found: dict[UUID, DataKey] = {}
        missing: list[UUID] = []
        for key_id in set(key_ids):
            entry = self._cache.get(key_id)
            if entry is not None and entry[0] > now:
                found[key_id] = entry[1]
            else:
                missing.append(key_id)
        if missing:
            rows = await tx.driver.fetch(
                "SELECT key_id, subject_id, kek_id, wrapped FROM keys.subject_key WHERE key_id = ANY($1::uuid[])",
                missing,
            )
            read = [self._unwrapped(row) for row in rows]
            self._remember(read)
            found |= {key.key_id: key for key in read}
        return found

    async def of_subjects(self, tx: Transaction, subject_ids: Collection[UUID]) -> dict[UUID, DataKey]:
        """The stored keys of these subjects, by subject; absent for who has none or was erased. Never from memory."""
        rows = await tx.driver.fetch(
            "SELECT key_id, subject_id, kek_id, wrapped FROM keys.subject_key WHERE subject_id = ANY($1::uuid[])",
            list(subject_ids),
        )
        return {row[1]: self._unwrapped(row) for row in rows}

    async def erase(self, tx: Transaction, subject_id: UUID) -> None:
        """Deletes the key and puts the subject on the erasure list, which is applied again after a restore."""
        await tx.driver.execute(
            "INSERT INTO keys.erasure (subject_id, erased_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            subject_id,
            self._clock(),
        )
        key_id = await tx.driver.fetchval(
            "DELETE FROM keys.subject_key WHERE subject_id = $1 RETURNING key_id", subject_id
        )
        self._cache.pop(key_id, None)
        # Again after the commit: until then another transaction of this process may have read the key.
        tx.after_commit.append(lambda: self._forget(key_id))

    def _forget(self, key_id: UUID | None) -> None:
        if key_id is not None:
            self._cache.pop(key_id, None)

    def _remember(self, keys: Iterable[DataKey]) -> None:
        if len(self._cache) >= _CACHED_KEYS:
            self._cache.clear()
        until = self._monotonic() + self._cache_seconds
        for key in keys:
            self._cache[key.key_id] = (until, key)

    def _unwrapped(self, row: Any) -> DataKey:
        key_id, subject_id, kek_id, wrapped = row
        return DataKey(key_id, subject_id, self._keyset.unwrap(kek_id, key_id, subject_id, wrapped))


async def apply_erasures(tx: Transaction) -> int:
    """Deletes again the keys that a restored backup brought back; gives their number. Run before services start."""
    status: str = await tx.driver.execute(
        "DELETE FROM keys.subject_key WHERE subject_id IN (SELECT subject_id FROM keys.erasure)"
    )
    return int(status.rpartition(" ")[2])


KEYS_V1: tuple[str, ...] = (
    """
    CREATE TABLE keys.subject_key (
        key_id uuid PRIMARY KEY,
        subject_id uuid NOT NULL UNIQUE,
        kek_id text NOT NULL,
        wrapped bytea NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE keys.service_grant (
        service text NOT NULL,
        field_group text NOT NULL,
        PRIMARY KEY (service, field_group)
    )
    """,
    """
    CREATE TABLE keys.erasure (
        subject_id uuid PRIMARY KEY,
        erased_at timestamptz NOT NULL
    )
    """,
    # After the insert, so that it also sees an erasure whose commit the insert had to wait for.
    f"""
    CREATE FUNCTION keys.refuse_erased() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM keys.erasure JOIN created USING (subject_id)) THEN
            RAISE EXCEPTION 'the subject was erased' USING ERRCODE = '{_ERASED}';
        END IF;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER refuse_erased AFTER INSERT ON keys.subject_key
    REFERENCING NEW TABLE AS created FOR EACH STATEMENT EXECUTE FUNCTION keys.refuse_erased()
    """,
    "INSERT INTO keys.service_grant (service, field_group) VALUES "
    + ", ".join(f"('{service}', '{group}')" for service in sorted(GRANTS) for group in sorted(GRANTS[service])),
    "REVOKE ALL ON SCHEMA keys FROM PUBLIC",
    "GRANT USAGE ON SCHEMA keys TO fn_intake, fn_router, fn_eligibility",
    "GRANT SELECT ON keys.service_grant, keys.subject_key TO fn_intake, fn_router, fn_eligibility",
    "GRANT INSERT, DELETE ON keys.subject_key TO fn_intake",
    "GRANT SELECT, INSERT ON keys.erasure TO fn_intake",
)
"""The tables of the schema `keys` with their grants: its first migration. Roles that exist already are left alone."""

__all__ = ["GRANTS", "KEYS_V1", "KeyMissing", "Keyset", "SubjectKeys", "apply_erasures"]
