"""How late a duty was fulfilled, or is by now. Clocks start at discovery, so a late report makes a late notice."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class Lateness:
    """`policy`: later than the operator wants, which is not against the law."""

    by: timedelta
    against: Literal["law", "policy"]


def lateness(
    due_at: datetime | None, target_at: datetime | None, done_at: datetime | None, now: datetime
) -> Lateness | None:
    """Of a duty that is due; None when it was done in time, or there is time left, or it has no clock.

    `due_at` ends the legal clock, `target_at` that of the policy; `done_at` is None while nobody has done it.
    """
    end = done_at if done_at is not None else now
    if due_at is not None and end > due_at:
        return Lateness(end - due_at, "law")
    if target_at is not None and end > target_at:
        return Lateness(end - target_at, "policy")
    return None
