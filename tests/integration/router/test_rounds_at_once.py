"""One statement writes a round: whatever is in it, the rows are those that each event alone would leave."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from contracts.envelope import Event
from services.router.adapters import store
from services.router.adapters.composing import Part, composed
from services.router.domain.rounds import rounds
from tests.integration.router.house import House, Worker, adult, endpoint, minor, of_unknown_age

pytestmark = pytest.mark.postgres

EVERY_PART = {
    "reported",
    "timed",
    "decided",
    "owed",
    "completed",
    "met",
    "retired",
    "superseded",
    "issued",
    "to_deliver",
}
OTHER_NAME = minor(identity={"given_name": "Other", "family_name": "Family"})


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Names of the parts of every statement that wrote a round."""
    seen: list[set[str]] = []

    def composing(parts: Iterable[Part]) -> tuple[str, list[Any]]:
        given = list(parts)
        seen.append({part.name for part in given})
        return composed(given)

    monkeypatch.setattr(store, "composed", composing)
    return seen


async def _events_of_one_round(house: House, worker: Worker) -> list[Event]:
    """Six subjects, to each of whom something else happens."""
    known = [await house.report(facts) for facts in (minor(), adult(), minor(), minor(), of_unknown_age())]
    for event in known:
        await house.handle(worker, event)
    renamed, aged, done, retracted, settled = known
    return [
        await house.report(minor()),
        await house.amendment(renamed, OTHER_NAME),
        await house.amendment(aged, minor()),
        await house.completion(done, "MO.566_223.DSS", datetime.now(UTC)),
        house.retraction(retracted),
        await house.amendment(settled, adult()),
    ]


async def _rows(house: House, encounters: Sequence[UUID]) -> dict[str, list[dict[str, Any]]]:
    """What is stored about these encounters, in their order, without what is random or a time."""
    queries = {
        "subject": "SELECT record_version, review_at IS NULL AS settled FROM subject WHERE encounter_id = $1",
        "decision": "SELECT number FROM decision JOIN subject USING (subject_id) WHERE encounter_id = $1",
        "completion": "SELECT record_version FROM completion JOIN subject USING (subject_id) WHERE encounter_id = $1",
        "obligation": """
            SELECT duty_id, outcome, revision, recipient_id, citations, decided_by, met_at IS NULL AS open,
                review_at IS NULL AS settled
            FROM obligation WHERE encounter_id = $1
        """,
        "notice": """
            SELECT duty_id, notice.recipient_id, revision, kind, notice.priority, live, replaced_by IS NULL AS last,
                replaces IS NULL AS first, state, attempts, lease_owner IS NULL AS free, next_attempt_at <= now() AS due
            FROM notice JOIN delivery USING (notice_id) WHERE encounter_id = $1
        """,
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for table, query in queries.items():
        for encounter in encounters:
            rows = await house.rows(query, encounter)
            found.setdefault(table, []).extend(sorted(rows, key=lambda row: [str(value) for value in row.values()]))
    return found


async def test_a_round_with_every_part_writes_what_its_events_write_one_by_one(
    house: House, written: list[set[str]]
) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    alone = await _events_of_one_round(house, worker)
    for event in alone:
        await house.handle(worker, event)
    together = await _events_of_one_round(house, worker)
    assert len(rounds(together)) == 1
    written.clear()
    await house.handle(worker, *together)
    assert written == [EVERY_PART]
    expected = await _rows(house, [event.key for event in alone])
    assert await _rows(house, [event.key for event in together]) == expected
    assert {row["revision"] for row in expected["notice"] if not row["live"]} == {1}
    assert [row["open"] for row in expected["obligation"]].count(False) == 1
    assert len(expected["completion"]) == 1


async def test_new_notices_take_the_place_of_many_old_ones_in_one_round(house: House) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    reports = [await house.report(minor()) for _ in range(40)]
    await house.handle(worker, *reports)
    await house.handle(worker, *[await house.amendment(report, OTHER_NAME) for report in reports])
    found = await house.rows(
        """
        SELECT live, state, revision, count(*) FROM notice JOIN delivery USING (notice_id)
        GROUP BY live, state, revision ORDER BY revision
        """
    )
    assert found == [
        {"live": False, "state": "superseded", "revision": 1, "count": 120},
        {"live": True, "state": "pending", "revision": 2, "count": 120},
    ]


async def test_the_driver_has_the_statement_of_a_first_report_prepared(house: House) -> None:
    """It must stay below the length from which the driver prepares anew each time."""
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    for _ in range(3):
        await house.handle(worker, await house.report(minor()))
    ran = await house.rows(
        "SELECT generic_plans + custom_plans AS times FROM pg_prepared_statements WHERE statement LIKE 'WITH reported%'"
    )
    assert ran == [{"times": 3}]
