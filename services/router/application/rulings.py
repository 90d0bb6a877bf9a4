"""From reported facts to rulings: the law's decision on every duty, and what the recipient of a notice is told."""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from contracts.facts import SubjectFacts
from kernel.sealing import DataKey
from rulebook.disclosure import disclose
from rulebook.duties import Decision, DutyFacts, decide
from rulebook.loader import Law
from rulebook.review import ReviewGaps, review_gaps
from services.router.application.ports import Snapshot
from services.router.domain.obligations import Obligation, Ruling

_TAG = b"firstnotice.router.tag.v1:"
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Ruled:
    """A ruling with what its recipient is told, which stays sealed."""

    ruling: Ruling
    disclosed: Mapping[str, Any]
    purpose: str | None
    redisclosure: str | None


def tag(key: DataKey, what: str, content: Any) -> bytes:
    """A digest that only shows equality, and only to who holds the subject's key: it dies with the key."""
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return hmac.digest(key.secret, _TAG + what.encode() + b"\0" + canonical, "sha256")[:_TAG_BYTES]


def rule(
    facts: SubjectFacts, snapshot: Snapshot, expired: Collection[str], *, law: Law, now: datetime
) -> tuple[Decision, ...]:
    """Every duty of the snapshot's jurisdiction, tasks and what others owe among them.

    `expired`: duties whose review ran out of time. Raises LawError.
    """
    decisions = decide(_duty_facts(facts, snapshot, now, False), law, all_duties=True)
    if expired:
        again = decide(_duty_facts(facts, snapshot, now, True), law, all_duties=True)
        late = {decision.duty_id: decision for decision in again}
        decisions = tuple(late[one.duty_id] if one.duty_id in expired else one for one in decisions)
    return decisions


def unsettled(
    facts: SubjectFacts, snapshot: Snapshot, reviews: Mapping[str, bool], *, law: Law, now: datetime
) -> dict[str, ReviewGaps]:
    """What would settle each of these reviews, by duty, and whether its time ran out. Raises LawError.

    A duty is absent that `law` would decide: it stands for review by an older release, until something new is told.
    """
    found: dict[str, ReviewGaps] = {}
    for expired in sorted(set(reviews.values())):
        only = {duty_id for duty_id, late in reviews.items() if late is expired}
        gaps = review_gaps(_duty_facts(facts, snapshot, now, expired), law, only=only)
        found |= {one.duty_id: one for one in gaps}
    return found


def _duty_facts(facts: SubjectFacts, snapshot: Snapshot, now: datetime, review_expired: bool) -> DutyFacts:
    return DutyFacts(
        subject=facts,
        encounter_at=snapshot.encounter_at,
        discovered_at=snapshot.discovered_at,
        as_of=now,
        jurisdiction=snapshot.jurisdiction,
        review_expired=review_expired,
    )


def retracted(obligation: Obligation, *, key: DataKey) -> Ruled:
    """The report was made in error: nothing is due any more, by the agency's own word."""
    ruling = Ruling(
        duty_id=obligation.duty_id,
        outcome="not_due",
        recipient_role=obligation.recipient_role,
        recipient_id=None,
        owner=obligation.owner,
        clock=obligation.clock,
        due_at=None,
        target_at=None,
        review_after=None,
        priority="correction",
        acknowledgement=obligation.acknowledgement,
        citations=obligation.citations,
        decided_by="human",
        basis_tag=tag(key, "basis", "retracted"),
        told_tag=b"",
    )
    return Ruled(ruling, {}, None, None)


def _basis(decision: Decision) -> list[Any]:
    """Without a contradiction the same as before decisions were labelled with one: such tags stay comparable."""
    label = [decision.contradicted] if decision.contradicted else []
    return [decision.basis, decision.flags, decision.reasons, *label]


def ruled(decision: Decision, facts: SubjectFacts, *, key: DataKey, law: Law) -> Ruled:
    """A decision on a duty that a notice fulfils, with what the notice tells."""
    due = decision.outcome == "due"
    disclosed = disclose(facts, decision.disclosure, law, decision.flags) if due else {}
    policy = law.disclosure.get(decision.disclosure)
    ruling = Ruling(
        duty_id=decision.duty_id,
        outcome=decision.outcome,
        recipient_role=decision.recipient_role,
        recipient_id=decision.recipient_id,
        owner=decision.owner,
        clock=decision.clock,
        due_at=decision.due_at,
        target_at=decision.target_at,
        review_after=decision.review_after,
        priority=decision.priority,
        acknowledgement=decision.acknowledgement,
        citations=decision.citations,
        decided_by=decision.decided_by,
        basis_tag=tag(key, "basis", _basis(decision)),
        told_tag=tag(key, "told", [decision.disclosure, disclosed]) if due else b"",
    )
    return Ruled(
        ruling,
        disclosed,
        law.texts.get(policy.purpose) if policy else None,
        law.texts.get(policy.redisclosure) if policy else None,
    )
