"""What the courier carries in memory: one attempt of one notice that it holds the lease of, and how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.router.domain.classification import Verdict
from services.router.domain.origin import Origin


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A leased attempt whose intent is committed. `body` is what is sent, byte for byte, at every attempt."""

    notice_id: UUID
    recipient_id: str
    priority: int
    attempt: int
    origin: Origin
    body: bytes = field(repr=False)
    issued_at: datetime
    lease_ends: float
    """Seconds of the courier's monotonic clock; never sent later than this allows."""
    was_held: bool = False
    """Held before this attempt: its owner knows already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one attempt ended; `retry_in` seconds, for `retry` and `held`."""

    job: Job
    started_at: datetime
    finished_at: datetime
    verdict: Verdict
    http_status: int | None = None
    retry_in: float = 0.0
