"""The courier's engine: claims due notices, sends each over its endpoint's lane, hands the results to the recorder.

It never gives a notice up. What it holds in memory is bounded; everything else waits in the database, where the next
look finds it, whichever worker was to send it before.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from contracts.events import PriorityClass
from kernel.clock import Clock
from kernel.crashpoints import reach
from kernel.doorbell import Doorbell, wait_for
from kernel.errors import ConfigurationError, Unavailable
from kernel.telemetry import counter, gauge, hop, logger
from services.router.adapters.endpoints import Endpoint, Endpoints
from services.router.courier.job import Job, Result
from services.router.courier.lanes import Breaker, BreakerPolicy, Lane
from services.router.courier.recorder import Recorder
from services.router.courier.store import Ask, CourierStore, Due
from services.router.courier.transport import Transport
from services.router.domain.backoff import Backoff
from services.router.domain.classification import Answer, classify
from services.router.domain.priorities import PRIORITIES, priority_number

CLAIMED_AT_ONCE = 256
"""Unsealing more than this in one go would keep the loop from sending for too long."""

CONTENT_TYPE = "application/cloudevents+json"

ATTEMPTS = counter("courier_attempts", "Attempts that ended", ["outcome"])
UNDER_WAY = gauge("courier_under_way", "Notices that the courier holds in memory")
OLDEST_DUE = gauge("courier_oldest_due_seconds", "Since when the oldest due notice waits", ["priority"])
RESTING = gauge("courier_lanes_resting", "Endpoints whose circuit breaker is open")
UNKNOWN = gauge("courier_recipients_unknown", "Recipients with notices due and no endpoint")

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Times in seconds."""

    deadline: float = 15.0
    """For one attempt, from asking the name to the last byte of the response."""
    lease: float = 60.0
    """How long a claimed notice is ours; far longer than the deadline."""
    poll: float = 0.2
    held_retry: float = 3600.0
    """A held notice is tried this often all the same."""
    most_held: int = 8192
    """Notices in memory at once."""
    backoff: Backoff = field(default_factory=Backoff)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


class Courier:
    """One worker; any number of them share the work."""

    def __init__(
        self,
        store: CourierStore,
        transport: Transport,
        endpoints: Endpoints,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        policy: Policy,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._store = store
        self._transport = transport
        self._endpoints = endpoints
        self._clock = clock
        self._monotonic = monotonic
        self._policy = policy
        self._uniform = uniform
        self._recorder = Recorder(self._write)
        self._lanes: dict[str, Lane] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._bell = Doorbell()
        self._space = asyncio.Event()
        self._healed: set[str] = set()
        self._waiting = 0
        self._sending = 0
        self._announced = False

    # -- for whoever issues notices (application.ports.Departures) --

    @property
    def worker(self) -> UUID:
        """Owner of this worker's leases."""
        return self._store.worker

    @property
    def lease(self) -> float:
        """Seconds."""
        return self._policy.lease

    def room(self, recipient_id: str, priority: PriorityClass) -> int:
        """How many new notices of this class may be born leased to this worker now."""
        lane = self._lane(recipient_id) if self._tasks is not None else None
        if lane is None:
            return 0
        number = priority_number(priority)
        return min(lane.room(number, self._monotonic()), self._budget(number))

    def lease_ends(self) -> float:
        """When a lease that starts now ends, on the courier's monotonic clock."""
        return self._monotonic() + self._policy.lease

    def accept(self, jobs: Iterable[Job]) -> None:
        """Sends leased notices whose intent is committed. A stopped worker leaves them to the next one."""
        if self._tasks is None:
            return
        for job in jobs:
            lane = self._lane(job.recipient_id)
            if lane is None:
                continue
            lane.put(job)
            self._waiting += 1
            self._serve(lane)

    def _serve(self, lane: Lane) -> None:
        if self._tasks is not None and lane.workers < lane.concurrency:
            lane.workers += 1
            self._tasks.create_task(self._work(lane))

    def wake(self) -> None:
        """Something became due: look now instead of at the next poll."""
        self._bell.ring()

    # -- the loops --

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then what is under way ends and is recorded. May be run again after it raised."""
        self._lanes.clear()
        self._waiting = self._sending = 0
        finished = asyncio.Event()
        bell = self._bell.waiter()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._recorder.run(finished))
                while not stop.is_set():
                    bell.clear()
                    await wait_for(*(await self._round(bell)))
                self._tasks = None
                await self._finish()
                finished.set()
        finally:
            self._tasks = None
            self._bell.remove(bell)

    async def _round(self, bell: asyncio.Event) -> tuple[asyncio.Event, float]:
        """Claims once; says what to wait for, and how long at most."""
        try:
            await self._refresh()
            await self._tend_lanes()
            await self._hurry_healed()
            dues = await self._store.survey()
            self._measure(dues)
            unknown = [due.recipient_id for due in dues if due.seconds <= 0 and self._lane(due.recipient_id) is None]
            UNKNOWN.set(len(set(unknown)))
            if unknown:
                await self._store.hold_unknown(sorted(set(unknown)), self._policy.held_retry)
            asks = self._asks(due for due in dues if due.seconds <= 0)
            if asks:
                jobs = await self._store.claim(asks, self._policy.lease, self.lease_ends())
                self.accept(jobs)
                if len(jobs) >= min(ask.room for ask in asks):
                    # Probably more where this came from: claim again when some of it is sent.
                    self._space.clear()
                    return self._space, self._policy.poll
        except Unavailable as error:
            log.warning("the courier waits for the database", error=error)
            return bell, self._uniform(self._policy.poll, 5 * self._policy.poll)
        soonest = min((due.seconds for due in dues if due.seconds > 0), default=self._policy.poll)
        return bell, min(self._policy.poll, max(soonest, 0.001))

    async def _tend_lanes(self) -> None:
        """Lets go of what came into a lane after its breaker had opened; serves what has nobody to serve it."""
        now = self._monotonic()
        for lane in list(self._lanes.values()):
            if lane.queued and lane.breaker.state(now) == "open":
                await self._release(self._drain(lane))
            elif lane.queued and not lane.workers:
                self._serve(lane)

    async def _hurry_healed(self) -> None:
        """What waits because its endpoint was down need not wait any longer."""
        if healed := sorted(self._healed):
            await self._store.hurry(healed)
            self._healed.difference_update(healed)

    def _asks(self, dues: Iterable[Due]) -> list[Ask]:
        now = self._monotonic()
        waiting = sorted(dues, key=lambda due: due.priority)
        # An even share for each, so that nobody's backlog keeps another recipient from being claimed.
        share = max(1, CLAIMED_AT_ONCE // max(1, len(waiting)))
        asks: list[Ask] = []
        taken = 0
        for due in waiting:
            lane = self._lane(due.recipient_id)
            if lane is None:
                continue
            room = min(lane.room(due.priority, now), self._budget(due.priority) - taken, share)
            if room > 0:
                asks.append(Ask(due.recipient_id, due.priority, room))
                taken += room
        return asks

    def _budget(self, priority: int) -> int:
        """Places left in memory: the less urgent classes may fill only half of it."""
        most = self._policy.most_held if priority == 0 else self._policy.most_held // 2
        return most - self._waiting - self._sending - len(self._recorder)

    async def _work(self, lane: Lane) -> None:
        """Serves one slot of a lane until the lane has nothing for it."""
        try:
            while True:
                job = lane.start(self._monotonic())
                if job is not None:
                    self._waiting -= 1
                    self._sending += 1
                    try:
                        await self._send(lane, job)
                    finally:
                        self._sending -= 1
                    if lane.queued <= lane.concurrency or self._tasks is None:
                        self._space.set()
                elif (pause := lane.pause(self._monotonic())) > 0 and self._tasks is not None:
                    await asyncio.sleep(pause)
                else:
                    return
        finally:
            lane.workers -= 1

    async def _send(self, lane: Lane, job: Job) -> None:
        began = self._monotonic()
        endpoint = self._endpoints.get(job.recipient_id)
        if endpoint is None or began + self._policy.deadline >= job.lease_ends:
            # Not ours for long enough any more: whoever claims it next sends it.
            lane.give_up_slot(job)
            await self._release([job])
            return
        started_at = self._clock()
        headers = endpoint.signer.headers(str(job.notice_id), int(started_at.timestamp()), job.body)
        headers["content-type"] = CONTENT_TYPE
        if job.attempt == 1:
            hop("router", "send", job.issued_at.timestamp())
        reach("router.before_send")
        ending = await self._transport.post(endpoint, headers, job.body, self._policy.deadline)
        reach("router.after_send")
        finished_at = self._clock()
        verdict = classify(ending, notice_id=job.notice_id, confirmation=endpoint.confirmation, now=finished_at)
        now = self._monotonic()
        had_rested = lane.breaker.trips > 0
        opened = lane.finish(job, failed=verdict.outcome != "confirmed", seconds=now - began, now=now)
        if verdict.outcome == "confirmed":
            wait = 0.0
            if had_rested:
                self._healed.add(lane.recipient_id)
                self._bell.ring()
        elif verdict.outcome == "held":
            wait = self._uniform(self._policy.held_retry / 2, self._policy.held_retry)
        elif verdict.retry_after is not None:
            wait = self._policy.backoff.asked(verdict.retry_after, self._uniform)
        else:
            wait = self._policy.backoff.delay(job.attempt, self._uniform)
            if rest := lane.breaker.rest(now):
                # That an endpoint is down says nothing of this notice: it is due again when the endpoint is probed.
                wait = min(wait, rest)
        ATTEMPTS.labels(verdict.outcome).inc()
        self._recorder.add(
            Result(
                job=job,
                started_at=started_at,
                finished_at=finished_at,
                verdict=verdict,
                http_status=ending.status if isinstance(ending, Answer) else None,
                retry_in=wait,
            )
        )
        if opened:
            # A dead endpoint holds no memory: what waited for it goes back.
            await self._release(self._drain(lane))

    async def _write(self, results: Sequence[Result]) -> None:
        reach("router.before_record")
        await self._store.record(results)
        reach("router.after_record")

    async def _finish(self) -> None:
        """Gives back what was not begun, and lets what is under way end."""
        await self._release([job for lane in self._lanes.values() for job in self._drain(lane)])
        while self._sending:
            self._space.clear()
            await wait_for(self._space, self._policy.poll)

    def _drain(self, lane: Lane) -> list[Job]:
        jobs = lane.drain()
        self._waiting -= len(jobs)
        return jobs

    async def _release(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            await self._store.release(jobs)
        except Unavailable:
            # Their leases run out by themselves.
            log.warning("leases could not be given back", count=len(jobs))

    # -- lanes and endpoints --

    def _lane(self, recipient_id: str) -> Lane | None:
        lane = self._lanes.get(recipient_id)
        if lane is None:
            endpoint = self._endpoints.get(recipient_id)
            if endpoint is not None:
                lane = self._lanes[recipient_id] = self._new_lane(endpoint)
        return lane

    def _new_lane(self, endpoint: Endpoint) -> Lane:
        breaker = Breaker(self._policy.breaker, self._uniform)
        return Lane(
            endpoint.recipient_id, endpoint.concurrency, breaker, endpoint.rate, fingerprint=endpoint.fingerprint
        )

    async def _refresh(self) -> None:
        """Takes a changed endpoints file into use. Raises Unavailable, and then goes on where it was next time."""
        try:
            changed = self._endpoints.refresh()
        except ConfigurationError as error:
            log.error("the endpoints file is not taken into use", error=error)
            return
        if changed:
            self._announced = False
            for recipient_id, lane in list(self._lanes.items()):
                endpoint = self._endpoints.get(recipient_id)
                if endpoint is None:
                    del self._lanes[recipient_id]
                    await self._release(self._drain(lane))
                elif endpoint.fingerprint != lane.fingerprint:
                    lane.concurrency, lane.rate, lane.fingerprint = (
                        endpoint.concurrency,
                        endpoint.rate,
                        endpoint.fingerprint,
                    )
                    lane.breaker = Breaker(self._policy.breaker, self._uniform)
        if not self._announced:
            # What was held for an endpoint that is different now is due at once.
            news = await self._store.note_endpoints(self._endpoints.fingerprints())
            waiting = {due.recipient_id for due in await self._store.survey()} if news else set()
            await self._store.hurry(sorted(one for one in waiting if self._endpoints.entry_of(one) in news))
            self._announced = True

    def _measure(self, dues: Sequence[Due]) -> None:
        now = self._monotonic()
        UNDER_WAY.set(self._waiting + self._sending + len(self._recorder))
        RESTING.set(sum(lane.breaker.state(now) == "open" for lane in self._lanes.values()))
        for number, priority in enumerate(PRIORITIES):
            OLDEST_DUE.labels(priority).set(max((-due.seconds for due in dues if due.priority == number), default=0))
