"""What a determination says: values alone, and their JSON, always in the same order."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from rulebook.contradictions import Contradictions, listed
from rulebook.knowledge import Provenance
from rulebook.missing import NOTHING_MISSING, Missing, Sets
from rulebook.question import Question
from rulebook.trees import Reason
from rulebook.values import Value, plain

Answer = Literal["eligible", "potentially_eligible", "not_eligible", "disputed"]
Supply = Literal["available", "unknown", "not_available", "not_limited"]


@dataclass(frozen=True, slots=True)
class Disputed:
    """Both readings of a rule that is before a court, where they differ."""

    issue: str
    case: str
    as_applied: Answer
    other_reading: Answer

    def to_json(self) -> dict[str, str]:
        return {
            "issue": self.issue,
            "case": self.case,
            "as_applied": self.as_applied,
            "other_reading": self.other_reading,
        }


@dataclass(frozen=True, slots=True)
class Presumed:
    """The answer if what is only presumed were so, such as that an apparent minor is one."""

    facts: tuple[str, ...]
    outcome: Answer

    def to_json(self) -> dict[str, Any]:
        return {"presuming": list(self.facts), "outcome": self.outcome}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramAnswer:
    """One program for one person. The person's own eligibility, and apart from it whether the service is there."""

    program_id: str
    outcome: Answer
    """Stands on what is known; `presumed` says what a presumption would make of it."""
    supply: Supply
    version_from: date | None
    """First day of the version of the rule that was applied; None if none was in force or which one is not known."""
    reasons: tuple[Reason, ...]
    """The comparisons that decided it; none if the answer needs no fact."""
    missing: tuple[str, ...]
    """Facts to ask for. Empty unless potentially eligible."""
    citations: tuple[str, ...]
    services: tuple[str, ...]
    documents: tuple[str, ...]
    next_step_agency: str | None
    next_step_dss: str | None
    confidence: str
    note: str | None = None
    gaps: Missing = NOTHING_MISSING
    """Which few of the missing facts could settle it."""
    would_change: Sets = ()
    """For a no: which of the known facts, were they otherwise, could make it something else."""
    presumed: Presumed | None = None
    disputed: Disputed | None = None
    contradicted: tuple[str, ...] = ()
    """Contradicted facts that leave it open, or one of two readings: only a correction settles these."""

    def to_json(self) -> dict[str, Any]:
        next_step = {"agency": self.next_step_agency, "dss": self.next_step_dss}
        found: dict[str, Any] = {
            "program": self.program_id,
            "outcome": self.outcome,
            "supply": self.supply,
            "version_from": self.version_from.isoformat() if self.version_from else None,
            "reasons": [_reason(reason) for reason in self.reasons],
            "missing": list(self.missing),
            "citations": list(self.citations),
            "services": list(self.services),
            "documents": list(self.documents),
            "next_step": {who: what for who, what in next_step.items() if what},
            "confidence": self.confidence,
        }
        if self.note:
            found["note"] = self.note
        if self.outcome != "eligible" and self.gaps != NOTHING_MISSING:
            found["gaps"] = self.gaps.to_json()
        if self.would_change:
            found["would_change"] = [list(one) for one in self.would_change]
        if self.presumed is not None:
            found["presumed"] = self.presumed.to_json()
        if self.disputed is not None:
            found["disputed"] = self.disputed.to_json()
        if self.contradicted:
            found["contradicted"] = list(self.contradicted)
        return found


def _reason(reason: Reason) -> dict[str, Any]:
    found = {
        "fact": reason.fact,
        reason.operator: reason.threshold,
        "value": reason.value,
        "holds": reason.holds,
    }
    return found if reason.source is None else found | {"source": reason.source.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Determination:
    """All programs for one person at one moment. All of it is about the person: for sealed use only."""

    as_of: date
    law_version: str
    law_digest: str
    programs: tuple[ProgramAnswer, ...]
    """In the order of their ids."""
    not_answered: dict[str, str]
    """Facts that were asked for: `unknown` or `refused`."""
    next_change_on: date | None
    """First later day on which an answer may change by itself: a birthday, a time limit, another version of a rule."""
    next_question: Question | None = None
    known_at: date | None = None
    """The law as it was known on that day; None: all that the release holds."""
    facts_digest: str | None = None
    """Salted: a bare hash of facts could be guessed."""
    sources: Mapping[str, Provenance] = field(default_factory=dict)
    contradictions: Contradictions = field(default_factory=dict)
    """All of the person, whether or not an answer rests on them, with the facts of which one has to be corrected."""

    def answer(self, program_id: str) -> ProgramAnswer:
        """Raises KeyError for a program that does not apply here."""
        for answer in self.programs:
            if answer.program_id == program_id:
                return answer
        raise KeyError(program_id)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, always in the same order."""
        found: dict[str, Any] = {
            "as_of": self.as_of.isoformat(),
            "law_version": self.law_version,
            "law_digest": self.law_digest,
            "next_change_on": self.next_change_on.isoformat() if self.next_change_on else None,
            "next_question": self.next_question.to_json() if self.next_question else None,
            "not_answered": self.not_answered,
            "programs": [answer.to_json() for answer in self.programs],
        }
        if self.contradictions:
            found["contradictions"] = listed(self.contradictions)
        if self.known_at is not None:
            found["known_at"] = self.known_at.isoformat()
        if self.facts_digest is not None:
            found["facts_digest"] = self.facts_digest
        return found

    def canonical(self) -> bytes:
        """The same bytes for the same facts, law and day."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(facts: Mapping[str, Value], salt: bytes) -> str:
    """SHA-256, in hex, over the salt and the facts. The salt is random, 16 bytes or more, and sealed like the facts.

    Raises ValueError for a shorter salt.
    """
    if len(salt) < 16:
        raise ValueError("a salt has 16 bytes or more; draw one with secrets.token_bytes(16)")
    told = {fact: plain(value) for fact, value in facts.items()}
    return hashlib.sha256(salt + json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
