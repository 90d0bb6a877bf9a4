"""One lane per endpoint: its own slots, its own circuit breaker, and slots that only urgent notices may use.

Nothing here waits or sends: the engine asks what may start now. Times are seconds of one monotonic clock.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from services.router.courier.job import Job
from services.router.domain.priorities import PRIORITIES

SHARES = (1.0, 0.75, 0.5, 0.25)
"""The part of a lane's slots that a class and all less urgent ones may hold together."""

QUEUED_SECONDS = 1.0
"""A lane never holds more work than it can start in about this time: the rest is safer in the database."""

MOST_QUEUED = 1024
PATIENCE = 0.2
"""Weight of the newest attempt in the average duration."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """After `failures` in a row the endpoint rests for `rest` seconds, doubled at each failed probe up to `longest`."""

    failures: int = 5
    rest: float = 1.0
    longest: float = 30.0


@dataclass(slots=True)
class Breaker:
    """Closed: sends. Open: rests. Half open: one probe decides."""

    policy: BreakerPolicy
    uniform: Callable[[float, float], float]
    failures: int = 0
    trips: int = 0
    rests_until: float = 0.0

    def state(self, now: float) -> Literal["closed", "open", "half_open"]:
        if self.trips == 0:
            return "closed"
        return "open" if now < self.rests_until else "half_open"

    def rest(self, now: float) -> float:
        """Seconds until the endpoint may be probed; 0 while it is in use."""
        return max(0.0, self.rests_until - now) if self.trips else 0.0

    def succeeded(self) -> None:
        self.failures = self.trips = 0

    def failed(self, now: float) -> bool:
        """True if this failure opened it."""
        state = self.state(now)
        self.failures += 1
        # Stragglers that were under way when it opened say nothing new.
        if state == "open" or (state == "closed" and self.failures < self.policy.failures):
            return False
        bound = min(self.policy.longest, self.policy.rest * 2.0 ** min(self.trips, 32))
        self.trips += 1
        self.rests_until = now + self.uniform(bound / 2, bound)
        return True


@dataclass(slots=True)
class Lane:
    """What waits for one endpoint and what is under way to it."""

    recipient_id: str
    concurrency: int
    breaker: Breaker
    rate: float | None = None
    """Attempts per second at most, if the recipient asked for a limit."""
    fingerprint: str = ""
    """Of the endpoint that the lane was made for."""
    workers: int = 0
    """Tasks that serve the lane now; the engine counts them."""
    running: list[int] = field(default_factory=lambda: [0] * len(PRIORITIES))
    _queues: tuple[deque[Job], ...] = field(default_factory=lambda: tuple(deque[Job]() for _ in PRIORITIES))
    _average: float = 0.05
    _next_start: float = 0.0

    @property
    def queued(self) -> int:
        return sum(map(len, self._queues))

    @property
    def under_way(self) -> int:
        return sum(self.running)

    def limit(self, priority: int) -> int:
        """Slots that this class and less urgent ones may hold together; at least one, so that nothing starves."""
        return max(1, int(self.concurrency * SHARES[priority]))

    def room(self, priority: int, now: float) -> int:
        """How many more notices of this class the lane would take."""
        match self.breaker.state(now):
            case "open":
                return 0
            case "half_open":
                return 0 if self.queued or self.under_way else 1
        limit = self.limit(priority)
        ahead = QUEUED_SECONDS / self._average
        if self.rate is not None:
            ahead = min(ahead, max(1.0, self.rate * QUEUED_SECONDS / limit))
        depth = min(MOST_QUEUED, limit + int(limit * ahead))
        return max(0, depth - len(self._queues[priority]) - self.running[priority])

    def put(self, job: Job) -> None:
        self._queues[job.priority].append(job)

    def start(self, now: float) -> Job | None:
        """The next notice that may be sent now; it holds a slot until `finish`."""
        if self.rate is not None and now < self._next_start:
            return None
        state = self.breaker.state(now)
        if state == "open" or (state == "half_open" and self.under_way) or self.under_way >= self.concurrency:
            return None
        for priority, queue in enumerate(self._queues):
            if queue and self._has_slot(priority):
                self.running[priority] += 1
                if self.rate is not None:
                    self._next_start = max(now, self._next_start) + 1.0 / self.rate
                return queue.popleft()
        return None

    def _has_slot(self, priority: int) -> bool:
        """Also within the parts of all more urgent classes, which this one counts in."""
        return all(sum(self.running[within:]) < self.limit(within) for within in range(priority + 1))

    def pause(self, now: float) -> float:
        """Seconds until the rate limit lets the next one start, 0 if that is not what holds it."""
        return max(0.0, self._next_start - now) if self.rate is not None and self.queued else 0.0

    def finish(self, job: Job, *, failed: bool, seconds: float, now: float) -> bool:
        """Gives the slot back; True if the breaker opened."""
        self.running[job.priority] -= 1
        self._average += PATIENCE * (max(seconds, 0.001) - self._average)
        if not failed:
            self.breaker.succeeded()
            return False
        return self.breaker.failed(now)

    def give_up_slot(self, job: Job) -> None:
        """Gives the slot back of a notice that was not sent after all."""
        self.running[job.priority] -= 1

    def drain(self) -> list[Job]:
        """Takes out everything that waits."""
        waiting = [job for queue in self._queues for job in queue]
        for queue in self._queues:
            queue.clear()
        return waiting
