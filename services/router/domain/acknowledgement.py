"""What a recipient may answer, in which order, and which answer ends a duty."""

from typing import Literal

from contracts.events import AcknowledgementStatus
from services.router.domain.obligations import Ends

Step = Literal["new", "repeated", "contradicts"]

_MAY_FOLLOW: dict[AcknowledgementStatus | None, frozenset[AcknowledgementStatus]] = {
    None: frozenset({"received", "accepted", "rejected", "done"}),
    "received": frozenset({"accepted", "rejected", "done"}),
    "accepted": frozenset({"done"}),
    # A recipient may think better of a refusal; never the other way round.
    "rejected": frozenset({"accepted", "done"}),
    "done": frozenset(),
}


def step(earlier: tuple[AcknowledgementStatus, ...], status: AcknowledgementStatus) -> Step:
    """Whether an answer is new, says again what was said, or contradicts it. `earlier` in the order they came."""
    if status in earlier:
        return "repeated"
    last = earlier[-1] if earlier else None
    return "new" if status in _MAY_FOLLOW[last] else "contradicts"


def ends_duty(status: AcknowledgementStatus, wanted: Ends) -> bool:
    """Whether this answer is the one that the duty's contract demands, or goes beyond it."""
    return status == "done" or (status == "accepted" and wanted == "accepted")
