"""What goes on record of each decision, and when a decision is a new one: JSON values, made to be sealed.

A record is a mapping: what `rulebook.duties.Decision` says where it is not the default, `revision`, `review_at` and
`review_expired`. Records of tasks, and of duties that others owe, exist
nowhere else, because their outcomes tell age, custody or conduct.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from rulebook.duties import Decision

Record = Mapping[str, Any]

_NOT_RECORDED = ("duty_id", "review_after", "priority", "disclosure")
_OF_THIS_ROUND = ("revision", "review_at", "review_expired")


def record_of(decision: Decision, *, revision: int, review_at: datetime | None, review_expired: bool) -> Record:
    """The record of a decision that was planned elsewhere: of a duty that a notice fulfils."""
    record = _said(decision)
    record["revision"] = revision
    if review_at is not None:
        record["review_at"] = review_at.isoformat()
    if review_expired:
        record["review_expired"] = True
    return record


def next_record(decision: Decision, before: Record | None, *, review_expired: bool, now: datetime) -> Record | None:
    """The record of a duty that a person fulfils; None when it says what the standing one says."""
    said = _said(decision)
    review_at = None
    if decision.outcome == "review" and decision.review_after is not None:
        # A review that goes on keeps its timer: an amendment does not buy time.
        review_at = before.get("review_at") if before is not None and before["outcome"] == "review" else None
        review_at = review_at or (now + decision.review_after).isoformat()
    if review_at is not None:
        said["review_at"] = review_at
    if review_expired:
        said["review_expired"] = True
    if before is not None and _as_stored(said) == {name: one for name, one in before.items() if name != "revision"}:
        return None
    said["revision"] = before["revision"] + 1 if before is not None else 1
    return said


def retracted(before: Record) -> Record | None:
    """The report was made in error: nothing is due any more, by the agency's own word. None: that is known already."""
    if before["basis"] == ["retracted"]:
        return None
    gone = ("due_at", "target_at", "recipient_id", "flags", "reasons", "contradicted", *_OF_THIS_ROUND)
    kept = {name: value for name, value in before.items() if name not in gone}
    revision = before["revision"] + 1
    return kept | {"outcome": "not_due", "basis": ["retracted"], "decided_by": "human", "revision": revision}


def encode(records: Mapping[str, Record]) -> dict[str, Any]:
    """What is sealed of one round. Many duties share reasons, so each is written once."""
    places: dict[str, int] = {}
    duties = {
        duty_id: {**record, "reasons": [places.setdefault(reason, len(places)) for reason in record["reasons"]]}
        if "reasons" in record
        else record
        for duty_id, record in records.items()
    }
    return {"duties": duties, "reasons": list(places)}


def decode(basis: Mapping[str, Any]) -> dict[str, Record]:
    """Records by duty, as they were given to `encode`."""
    words = basis["reasons"]
    return {
        duty_id: {**record, "reasons": [words[place] for place in record["reasons"]]} if "reasons" in record else record
        for duty_id, record in basis["duties"].items()
    }


def standing(rounds: Iterable[Mapping[str, Any]]) -> dict[str, Record]:
    """The last record of every duty, from what was sealed of each round, in order."""
    found: dict[str, Record] = {}
    for basis in rounds:
        found |= decode(basis)
    return found


def under_review(record: Record) -> datetime | None:
    """When the timer of a review runs out; None if none runs."""
    if record["outcome"] != "review" or record.get("review_expired") or "review_at" not in record:
        return None
    return datetime.fromisoformat(record["review_at"])


def next_review(records: Mapping[str, Record]) -> datetime | None:
    """The first timer of a subject that runs out."""
    return min((at for record in records.values() if (at := under_review(record)) is not None), default=None)


def fulfilled_with(record: Record, standing: Mapping[str, Record]) -> str | None:
    """The duty whose notice also fulfils this one: it goes to the same recipient and cites the same law.

    Only for what somebody in the agency owes in writing, such as the report of RSMo 567.020.5 to the juvenile officer,
    which the notice of 566.223 to that officer contains.
    """
    if record["outcome"] != "due" or noticed(record) or record.get("channel", "electronic") != "electronic":
        return None
    carriers = (
        duty_id
        for duty_id, other in standing.items()
        if noticed(other)
        and other["outcome"] == "due"
        and other["recipient_id"] == record["recipient_id"]
        and set(record["citations"]) <= set(other["citations"])
    )
    return next(carriers, None)


def noticed(record: Record) -> bool:
    """A notice of this system fulfils it."""
    return "channel" not in record and "owed_by" not in record


def _as_stored(said: Mapping[str, Any]) -> Record:
    """As JSON gives it back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


def _said(decision: Decision) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(decision)
    for name in _NOT_RECORDED:
        said.pop(name, None)
    return said
