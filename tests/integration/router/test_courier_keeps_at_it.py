"""What the courier promises when endpoints, workers and clocks misbehave."""

import asyncio
import time
from dataclasses import replace
from uuid import uuid4

import pytest

from services.router.courier.job import Job, Result
from services.router.courier.presence import Presence
from services.router.courier.store import Ask
from services.router.domain.backoff import Backoff
from services.router.domain.classification import Verdict
from tests.integration.router.house import SWIFT, House, adult, endpoint, minor
from tests.integration.router.receiver import Request, answer, drip, receipt, receiving, silence
from tests.support.loops import killed, running
from tests.support.wait import until

pytestmark = pytest.mark.postgres


async def test_the_intent_is_committed_before_the_bytes_leave(house: House) -> None:
    seen: list[dict[str, object]] = []

    async def look_first(request: Request, writer: asyncio.StreamWriter) -> None:
        seen.extend(
            await house.rows(
                "SELECT attempts, lease_owner IS NOT NULL AS leased FROM delivery WHERE notice_id::text = $1",
                request.webhook_id,
            )
        )
        await receipt(request, writer)

    async with receiving(look_first) as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        await house.handle(worker, await house.report(adult()))  # found by the reconciler
        async with running(worker.courier.run):
            await until(house.deliveries, lambda now: now == {"mo-dss": "confirmed"})
            await house.handle(worker, await house.report(adult()))  # born leased
            await until(lambda: len(seen), lambda now: now == 2)
    assert seen == [{"attempts": 1, "leased": True}] * 2


async def test_a_write_after_the_lease_went_to_another_matches_no_row(house: House) -> None:
    endpoints = house.register({"mo-dss": endpoint(1)})
    slow, quick = house.worker(endpoints), house.worker(endpoints)
    await house.handle(slow, await house.report(adult()))
    ask = [Ask("mo-dss", 0, 1)]
    (job,) = await slow.store.claim(ask, 0.0, 0.0)
    (again,) = await quick.store.claim(ask, 60.0, 0.0)
    assert (job.attempt, again.attempt) == (1, 2)
    now = (await house.rows("SELECT now() AS now"))[0]["now"]
    await slow.store.record([Result(job=job, started_at=now, finished_at=now, verdict=Verdict("confirmed", True))])
    assert await house.deliveries() == {"mo-dss": "pending"}
    assert await house.events("notice.confirmed") == []
    lost = await house.rows("SELECT attempt, error FROM attempt")
    assert lost == [{"attempt": 1, "error": "worker_lost"}], "the attempt of the lost worker is on record once"
    await quick.store.record([Result(job=again, started_at=now, finished_at=now, verdict=Verdict("confirmed", True))])
    assert await house.deliveries() == {"mo-dss": "confirmed"}


async def test_a_lost_attempt_in_one_batch_with_the_next_one_holds_up_nothing(house: House) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    await house.handle(worker, await house.report(adult()))
    ask = [Ask("mo-dss", 0, 1)]
    (lost,) = await worker.store.claim(ask, 0.0, 0.0)
    (again,) = await worker.store.claim(ask, 60.0, 0.0)
    now = (await house.rows("SELECT now() AS now"))[0]["now"]
    ended = {"started_at": now, "finished_at": now, "verdict": Verdict("confirmed", True)}
    await worker.store.record([Result(job=lost, **ended), Result(job=again, **ended)])
    assert await house.deliveries() == {"mo-dss": "confirmed"}
    attempts = await house.rows("SELECT attempt, error FROM attempt ORDER BY attempt")
    assert attempts == [{"attempt": 1, "error": "worker_lost"}, {"attempt": 2, "error": None}]
    assert len(await house.events("notice.confirmed")) == 1


async def test_what_a_killed_worker_held_is_sent_by_the_next_one(house: House) -> None:
    async with receiving(silence) as receiver:
        endpoints = house.register({"mo-dss": endpoint(receiver.port)})
        victim = house.worker(endpoints, policy=replace(SWIFT, lease=4.1))
        async with killed(victim.courier.run):
            await house.handle(victim, await house.report(adult()))
            await until(lambda: len(receiver.requests), lambda seen: seen == 1)
        receiver.behaviour = receipt
        heir = house.worker(endpoints)
        async with running(heir.courier.run):
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})
    assert len(set(receiver.ids())) == 1


async def test_what_a_worker_held_is_due_as_soon_as_it_is_gone_and_not_before(house: House) -> None:
    async def due() -> int:
        return len(await house.rows("SELECT FROM delivery WHERE next_attempt_at <= now() AND state = 'pending'"))

    woken: list[bool] = []
    async with receiving(silence) as receiver:
        endpoints = house.register({"mo-dss": endpoint(receiver.port)})
        patient = replace(SWIFT, deadline=100, lease=600)
        worker = house.worker(endpoints, policy=patient)
        victim, heir = worker.courier, house.worker(endpoints).courier
        async with running(Presence(house.database, worker=heir.worker, wake=lambda: woken.append(True)).run):
            sign_of_life = Presence(house.database, worker=victim.worker, wake=heir.wake)
            async with killed(victim.run), killed(sign_of_life.run):
                await until(lambda: house.rows("SELECT FROM courier_worker"), lambda rows: len(rows) == 2)
                await house.handle(worker, await house.report(adult()))
                await until(lambda: len(receiver.requests), lambda seen: seen == 1)
                # A third one comes, looks and goes: who lives keeps what it has.
                async with running(Presence(house.database, worker=uuid4(), wake=heir.wake).run):
                    await until(lambda: house.rows("SELECT FROM courier_worker"), lambda rows: len(rows) == 3)
                assert (await due(), woken) == (0, [])
            await until(lambda: woken, bool, seconds=10)
            assert await due() == 1
        receiver.behaviour = receipt
        async with running(heir.run):
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})
    assert len(set(receiver.ids())) == 1


async def test_a_dead_endpoint_delays_nobody_else_and_fills_no_memory(house: House) -> None:
    async with receiving(silence) as dead, receiving() as alive:
        entries = {"mo-dss": endpoint(dead.port, concurrency=4), "us-hhs-otip": endpoint(alive.port)}
        worker = house.worker(house.register(entries), policy=replace(SWIFT, deadline=0.5))
        async with running(worker.courier.run):
            for _ in range(8):
                await house.handle(worker, *[await house.report(minor()) for _ in range(10)])
            await until(lambda: house.events("notice.confirmed"), lambda seen: len(seen) == 80, seconds=10)
            assert dead.most_under_way <= 4
            await until(lambda: worker.courier.room("mo-dss", "first_notice"), lambda room: room == 0)
            dead.behaviour = receipt
            await until(lambda: house.events("notice.confirmed"), lambda seen: len(seen) == 160, seconds=20)
        assert dead.most_under_way <= 4, "nor does healing bring a stampede"


async def test_who_is_back_is_told_at_once_what_waited_however_long_it_was_to_wait(house: House) -> None:
    """Minutes of backoff are for a notice that fails while others arrive, not for an endpoint that was down."""
    breaker = replace(SWIFT.breaker, failures=3)
    patient = replace(SWIFT, backoff=Backoff(base=300, cap=600), breaker=breaker)
    async with receiving(answer(503)) as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}), policy=patient)
        async with running(worker.courier.run):
            await house.handle(worker, *[await house.report(adult()) for _ in range(3)])
            await until(lambda: len(receiver.requests), lambda count: count >= 5)
            assert len(set(receiver.ids())) == 3, "two failed before the endpoint rested"
            receiver.behaviour = receipt
            await until(lambda: house.events("notice.confirmed"), lambda seen: len(seen) == 3)


@pytest.mark.parametrize("behaviour", [silence, drip])
async def test_no_answer_takes_longer_than_the_deadline(house: House, behaviour: object) -> None:
    async with receiving(behaviour) as receiver:  # type: ignore[arg-type]
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}), policy=replace(SWIFT, deadline=0.4))
        began = time.monotonic()
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            seen = await until(lambda: house.events("notice.attempted"), bool)
        assert time.monotonic() - began < 3
        assert seen[0]["error"] == "timeout"


async def test_an_endless_answer_is_cut_off(house: House) -> None:
    async with receiving(answer(200, b"x" * 10_000_000)) as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            seen = await until(lambda: house.events("notice.attempted"), bool)
        assert (seen[0]["outcome"], seen[0]["error"]) == ("retry", "no_receipt")


async def test_a_redirect_is_a_failure_and_is_not_followed(house: House) -> None:
    async with receiving() as elsewhere, receiving() as receiver:
        receiver.behaviour = answer(302, location=f"http://127.0.0.1:{elsewhere.port}/")
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            seen = await until(lambda: house.events("notice.attempted"), bool)
        assert (seen[0]["outcome"], seen[0]["error"]) == ("retry", "redirect")
        assert elsewhere.connections == 0


async def test_gone_holds_for_its_owner_and_a_changed_endpoint_sends_it(house: House) -> None:
    async with receiving(answer(410)) as gone, receiving() as moved:
        worker = house.worker(house.register({"mo-dss": endpoint(gone.port)}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "held"})
            (held,) = await house.events("notice.held")
            assert (held["reason"], held["owner"]) == ("gone", "operator")
            house.register({"mo-dss": endpoint(moved.port)})
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})
        assert len(gone.requests) == 1
    changed = await house.events("endpoint.changed")
    assert len({one["fingerprint"] for one in changed}) == 2


async def test_a_recipient_without_endpoint_is_held_aloud_until_it_has_one(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({"somebody-else": endpoint(receiver.port)}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            (held,) = await until(lambda: house.events("notice.held"), bool)
            assert held["reason"] == "no_endpoint"
            house.register({"mo-*": endpoint(receiver.port)})
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})


async def test_retry_after_is_honoured(house: House) -> None:
    async with receiving(answer(503, retry_after="1")) as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            await until(lambda: len(receiver.requests), lambda seen: seen == 1)
            receiver.behaviour = receipt
            began = time.monotonic()
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})
        assert time.monotonic() - began >= 0.9


async def test_stopping_sends_what_is_under_way_and_gives_the_rest_back(house: House) -> None:
    async def when_told_to_stop(request: Request, writer: asyncio.StreamWriter) -> None:
        # A worker that stops has room for nobody.
        await until(lambda: worker.courier.room("us-hhs-otip", "first_notice"), lambda room: room == 0)
        await receipt(request, writer)

    async with receiving(when_told_to_stop) as receiver:
        worker = house.worker(
            house.register({"mo-dss": endpoint(receiver.port, concurrency=1), "us-hhs-otip": endpoint(receiver.port)})
        )
        async with running(worker.courier.run):
            await house.handle(worker, *[await house.report(adult()) for _ in range(5)])
            await until(lambda: len(receiver.requests), lambda seen: seen == 1)
    left = await house.rows("SELECT state, attempts, lease_owner FROM delivery ORDER BY state")
    assert [row["state"] for row in left] == ["confirmed"] + ["pending"] * 4
    assert all(row["lease_owner"] is None for row in left)
    assert [row["attempts"] for row in left] == [1, 0, 0, 0, 0]


async def test_an_erased_subject_is_told_of_to_nobody(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        event = await house.report(adult())
        await house.handle(worker, event)
        assert event.subject_id is not None
        async with house.intake.transaction() as tx:
            await house.intake_keys.erase(tx, event.subject_id)
        house.keys._cache.clear()  # a cache forgets within seconds; the test does not wait for it
        async with running(worker.courier.run):
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "superseded"})
    assert receiver.requests == []


async def test_what_was_claimed_while_the_breaker_opened_is_sent_when_the_endpoint_heals(house: House) -> None:
    """A claim that was under way when the lane began to rest must not wait in memory with nobody to serve it."""
    async with receiving() as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        await house.handle(worker, *[await house.report(adult()) for _ in range(3)])
        claimed = worker.store.claim

        async def claim_while_it_opens(asks: list[Ask], lease: float, ends: float) -> list[Job]:
            jobs = await claimed(asks, lease, ends)
            worker.store.claim = claimed  # type: ignore[method-assign]
            breaker = worker.courier._lanes["mo-dss"].breaker
            while breaker.state(time.monotonic()) != "open":
                breaker.failed(time.monotonic())
            return list(jobs)

        worker.store.claim = claim_while_it_opens  # type: ignore[method-assign,assignment]
        async with running(worker.courier.run):
            await until(house.deliveries, lambda now: now == {"mo-dss": "confirmed"})
    assert len(set(receiver.ids())) == 3
