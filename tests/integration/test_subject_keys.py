"""What the key store promises, on a real PostgreSQL: the server decides who may read keys, and erased is erased."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.facts import FieldGroup
from kernel.database import Database
from kernel.errors import SubjectErased
from kernel.keyset import Keyset
from kernel.migrations import KEYS, migrate
from kernel.sealing import seal, unseal
from kernel.subject_keys import GRANTS, SubjectKeys, apply_erasures
from tests.support.wait import until

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEYSET = Keyset.generate()


BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


class Time:
    """A monotonic clock that the test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def store(service: str = "intake", keyset: Keyset = KEYSET, time: Time | None = None) -> SubjectKeys:
    return SubjectKeys(keyset, service=service, clock=lambda: NOW, monotonic=time or Time())


@pytest.fixture(scope="module")
async def dsn(module_database_dsn: str) -> str:
    await migrate(module_database_dsn, [KEYS])
    return module_database_dsn


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    opened = Database(dsn, schema="public", role="fn_intake", pool_size=4)
    yield opened
    await opened.close()


async def test_a_subject_keeps_its_first_key(database: Database) -> None:
    one, two = uuid4(), uuid4()
    async with database.transaction() as tx:
        first = await store().create(tx, [one])
    async with database.transaction() as tx:
        again = await store().create(tx, [one, two, one])
        assert await store().create(tx, []) == {}
    assert again[one] == first[one]
    assert again[two].secret != first[one].secret
    async with database.transaction() as tx:
        assert await store().of_subjects(tx, [one, two, uuid4()]) == again
        assert await store().by_id(tx, [key.key_id for key in again.values()] + [uuid4()]) == {
            key.key_id: key for key in again.values()
        }


async def test_of_many_who_create_at_once_all_get_the_same_key(database: Database) -> None:
    subjects = [uuid4() for _ in range(20)]

    async def create() -> dict[UUID, bytes]:
        async with database.transaction() as tx:
            made = await store().create(tx, sorted(subjects, key=lambda _: os.urandom(4)))
        return {subject: key.secret for subject, key in made.items()}

    results = await asyncio.gather(*(create() for _ in range(6)))
    assert all(result == results[0] for result in results)


async def test_a_key_of_a_transaction_that_was_undone_never_seals(database: Database) -> None:
    subject, keys = uuid4(), store()
    with contextlib.suppress(RuntimeError):
        async with database.transaction() as tx:
            undone = (await keys.create(tx, [subject]))[subject]
            raise RuntimeError
    async with database.transaction() as tx:
        assert await keys.by_id(tx, [undone.key_id]) == {}
        assert (await keys.create(tx, [subject]))[subject] != undone


async def test_an_erased_subject_is_gone_everywhere_within_seconds(database: Database) -> None:
    subject, context, here, there = uuid4(), uuid4(), Time(), Time()
    intake, router = store(time=here), store("router", time=there)
    async with database.transaction() as tx:
        key = (await intake.create(tx, [subject]))[subject]
    sealed = seal(key, context, {FieldGroup.AGE: {"years": 15}})
    async with database.transaction() as tx:
        found = await router.by_id(tx, [key.key_id])
    assert unseal(found[key.key_id], context, sealed.groups, {FieldGroup.AGE})
    async with database.transaction() as tx:
        await intake.erase(tx, subject)
    there.seconds += 5.1
    async with database.transaction() as tx:
        assert await intake.by_id(tx, [key.key_id]) == {}
        assert await router.by_id(tx, [key.key_id]) == {}
        assert await intake.of_subjects(tx, [subject]) == {}


async def test_an_erased_subject_never_gets_a_key_again(database: Database) -> None:
    subject, other = uuid4(), uuid4()
    async with database.transaction() as tx:
        await store().create(tx, [subject])
        await store().erase(tx, subject)
    with pytest.raises(SubjectErased):
        async with database.transaction() as tx:
            await store().create(tx, [other, subject])
    async with database.transaction() as tx:
        assert await store().of_subjects(tx, [subject, other]) == {}


async def test_a_key_made_while_the_subject_is_being_erased_does_not_survive(database: Database) -> None:
    subject = uuid4()
    async with database.transaction() as tx:
        await store().create(tx, [subject])

    async def create() -> None:
        async with database.transaction() as tx:
            await store().create(tx, [subject])

    async with database.transaction() as tx:
        await store().erase(tx, subject)
        creating = asyncio.create_task(create())
        await until(lambda: tx.driver.fetchval(BLOCKED), bool)  # by the row that this transaction deleted
    with pytest.raises(SubjectErased):
        await creating


async def test_a_restored_backup_does_not_bring_anybody_back(dsn: str, database: Database) -> None:
    subject = uuid4()
    async with database.transaction() as tx:
        await store().create(tx, [subject])
    administrator = await asyncpg.connect(dsn)
    row = await administrator.fetchrow("SELECT * FROM keys.subject_key WHERE subject_id = $1", subject)
    async with database.transaction() as tx:
        await store().erase(tx, subject)
    await administrator.execute("ALTER TABLE keys.subject_key DISABLE TRIGGER refuse_erased")
    await administrator.execute("INSERT INTO keys.subject_key VALUES ($1, $2, $3, $4, $5)", *row)
    await administrator.execute("ALTER TABLE keys.subject_key ENABLE TRIGGER refuse_erased")
    await administrator.close()
    async with database.transaction() as tx:
        assert await apply_erasures(tx) == 1
        assert await store().of_subjects(tx, [subject]) == {}


async def test_after_a_rotation_old_subjects_keep_their_keys(database: Database) -> None:
    subject = uuid4()
    async with database.transaction() as tx:
        key = (await store().create(tx, [subject]))[subject]
    rotated = store(keyset=KEYSET.rotated())
    async with database.transaction() as tx:
        assert (await rotated.of_subjects(tx, [subject]))[subject] == key
        assert (await rotated.create(tx, [uuid4()])).keys()


@pytest.mark.parametrize("service", ["intake", "router", "eligibility"])
async def test_each_service_learns_what_it_may_open_from_the_server(dsn: str, service: str) -> None:
    database = Database(dsn, schema="public", role=f"fn_{service}")
    keys = store(service)
    assert keys.granted == frozenset()
    async with database.transaction() as tx:
        assert await keys.load_grants(tx) == GRANTS[service] == keys.granted
    await database.close()


REFUSED = [
    ("fn_audit", "SELECT FROM keys.subject_key"),
    ("fn_audit", "SELECT FROM keys.service_grant"),
    ("fn_audit", "SELECT FROM keys.erasure"),
    ("fn_router", "DELETE FROM keys.subject_key"),
    ("fn_router", "SELECT FROM keys.erasure"),
    ("fn_router", "UPDATE keys.service_grant SET field_group = 'narrative'"),
    ("fn_router", "INSERT INTO keys.service_grant VALUES ('router', 'narrative')"),
    ("fn_eligibility", "INSERT INTO keys.subject_key VALUES (gen_random_uuid(), gen_random_uuid(), '', '', now())"),
    ("fn_intake", "UPDATE keys.subject_key SET wrapped = ''"),
    ("fn_intake", "DELETE FROM keys.erasure"),
    ("fn_intake", "INSERT INTO keys.service_grant VALUES ('audit', 'identity')"),
]


@pytest.mark.parametrize(("role", "statement"), REFUSED, ids=[f"{role} {words}" for role, words in REFUSED])
async def test_the_server_refuses_what_was_not_granted(dsn: str, role: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"role": role})
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_no_secret_lies_in_the_database_in_clear(dsn: str, database: Database) -> None:
    async with database.transaction() as tx:
        key = (await store().create(tx, [uuid4()])).popitem()[1]
        wrapped = await tx.driver.fetchval("SELECT wrapped FROM keys.subject_key WHERE key_id = $1", key.key_id)
    assert key.secret not in wrapped
