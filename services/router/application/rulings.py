"""From reported facts to rulings: the law's decision on each duty, and what its recipient would be told."""

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
from services.router.application.ports import Snapshot
from services.router.domain.obligations import Obligation, Ruling

_TAG = b"firstnotice.router.tag.v1:"
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Reasoned:
    """A ruling with what stays sealed: why, and what its recipient is told."""

    ruling: Ruling
    basis: Mapping[str, Any]
    disclosed: Mapping[str, Any]
    purpose: str | None
    redisclosure: str | None


def tag(key: DataKey, what: str, content: Any) -> bytes:
    """A digest that only shows equality, and only to who holds the subject's key: it dies with the key."""
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return hmac.digest(key.secret, _TAG + what.encode() + b"\0" + canonical, "sha256")[:_TAG_BYTES]


def rule(
    facts: SubjectFacts, snapshot: Snapshot, expired: Collection[str], *, key: DataKey, law: Law, now: datetime
) -> list[Reasoned]:
    """Every duty of the snapshot's jurisdiction. `expired`: duties whose review ran out of time. Raises LawError."""

    def decided(review_expired: bool) -> tuple[Decision, ...]:
        duty_facts = DutyFacts(
            subject=facts,
            encounter_at=snapshot.encounter_at,
            discovered_at=snapshot.discovered_at,
            as_of=now,
            jurisdiction=snapshot.jurisdiction,
            review_expired=review_expired,
        )
        return decide(duty_facts, law)

    decisions = decided(False)
    if expired:
        late = {decision.duty_id: decision for decision in decided(True)}
        decisions = tuple(late[one.duty_id] if one.duty_id in expired else one for one in decisions)
    return [_reasoned(decision, facts, key, law) for decision in decisions]


def retracted(obligation: Obligation, *, key: DataKey) -> Reasoned:
    """The report was made in error: nothing is due any more, by the agency's own word."""
    basis = {"basis": ["retracted"]}
    ruling = Ruling(
        duty_id=obligation.duty_id,
        outcome="not_due",
        recipient_role=obligation.recipient_role,
        recipient_id=None,
        owner=obligation.owner,
        clock=obligation.clock,
        due_at=None,
        review_after=None,
        priority="correction",
        acknowledgement=obligation.acknowledgement,
        citations=obligation.citations,
        decided_by="human",
        basis_tag=tag(key, "basis", basis),
        told_tag=b"",
    )
    return Reasoned(ruling, basis, {}, None, None)


def _reasoned(decision: Decision, facts: SubjectFacts, key: DataKey, law: Law) -> Reasoned:
    basis = {"basis": decision.basis, "flags": decision.flags, "reasons": decision.reasons}
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
        review_after=decision.review_after,
        priority=decision.priority,
        acknowledgement=decision.acknowledgement,
        citations=decision.citations,
        decided_by=decision.decided_by,
        basis_tag=tag(key, "basis", basis),
        told_tag=tag(key, "told", [decision.disclosure, disclosed]) if due else b"",
    )
    return Reasoned(
        ruling,
        basis,
        disclosed,
        law.texts.get(policy.purpose) if policy else None,
        law.texts.get(policy.redisclosure) if policy else None,
    )
