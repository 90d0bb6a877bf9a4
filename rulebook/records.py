"""What is kept of a determination: answers by what decided them, without the words of the law.

The words (titles, citations, documents, next steps, thresholds) are in the release that the record names, for ever:
`rulebook.programs.recall` joins them again.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal

import orjson

from rulebook.answers import Answer, Supply
from rulebook.contradictions import Contradictions
from rulebook.missing import NOTHING_MISSING, Missing, Sets
from rulebook.schema import Program

FORM = 1
"""Of the JSON of a record. Readers refuse another one, which a later version of the program wrote."""

Note = Literal["not_in_force", "not_known"]
ANSWER_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Record:
    """One program for one person. Shared by all persons of whom the same is known: it holds no value of a fact."""

    # No slots: `digest` and `json` are worked out when somebody first keeps it; to tell an answer takes neither.

    program_id: str
    outcome: Answer
    supply: Supply
    version: int | None
    """Position of the version of the rule that was applied; None if none was in force or which one is not known."""
    yes: tuple[int, ...] = ()
    """Deciding comparisons that hold, by their position among all those of the program (`sort_key`)."""
    no: tuple[int, ...] = ()
    open: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    gaps: Missing = NOTHING_MISSING
    would_change: Sets = ()
    presumed: Answer | None = None
    """The outcome with the law's presumptions, where it is another one."""
    readings: tuple[Answer, Answer] | None = None
    """As applied, and the other reading, where a court has yet to choose and they differ."""
    note: Note | None = None
    contradicted: tuple[str, ...] = ()
    """The contradicted facts that leave it open (`rulebook.contradictions`), or one of its readings."""
    cites: frozenset[str] = frozenset()
    """Facts whose values belong to the reasons."""
    program: Program | None = field(default=None, compare=False, repr=False)
    """Absent from a record that was read back: it is told, and not kept again. So are the numbers."""
    numbers: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    """Of the facts in the release (`fact_names`)."""

    @cached_property
    def digest(self) -> bytes:
        """Of what somebody can act upon: `answer_digest`."""
        assert self.program is not None, "was read back"
        return answer_digest(self.program, self.outcome, self.supply, self.missing, self.contradicted)

    @cached_property
    def json(self) -> orjson.Fragment:
        """Made once for all persons who share it."""
        return orjson.Fragment(orjson.dumps(self.content(), option=orjson.OPT_SORT_KEYS))

    def content(self) -> dict[str, Any]:
        """Plain JSON values. Facts stand once, by their number in the release, and then by their position in that
        list; what is empty or usual is left out."""
        told: dict[str, Any] = {
            "outcome": self.outcome,
            "supply": self.supply,
            "version": self.version,
            "yes": self.yes,
            "no": self.no,
            "open": self.open,
            "presumed": self.presumed,
            "readings": self.readings,
            "note": self.note,
            "contradicted": [self.numbers[fact] for fact in self.contradicted],
        }
        settle, qualify, needed = self.gaps.to_settle, self.gaps.to_qualify, self.gaps.needed
        facts = sorted(set(self.missing).union(needed, *settle, *qualify, *self.would_change))
        if facts:
            at = {fact: position for position, fact in enumerate(facts)}
            told |= {
                "facts": [self.numbers[fact] for fact in facts],
                "missing": None if len(self.missing) == len(facts) else [at[fact] for fact in self.missing],
                "settle": [[at[fact] for fact in one] for one in settle],
                # Most often there is no way to a no: then both are the same.
                "qualify": None if qualify == settle else [[at[fact] for fact in one] for one in qualify],
                "needed": [at[fact] for fact in needed],
                "change": [[at[fact] for fact in one] for one in self.would_change],
            }
        return {name: value for name, value in told.items() if name not in _USUAL or value != _USUAL[name]}

    @classmethod
    def of(cls, program_id: str, content: Mapping[str, Any], fact_names: Sequence[str]) -> "Record":
        """From its JSON."""
        told = {**_USUAL, **content}
        facts = tuple([fact_names[number] for number in told["facts"]])
        settle = told["settle"]
        qualify = settle if told["qualify"] is None else told["qualify"]

        def names(positions: Sequence[int]) -> tuple[str, ...]:
            return tuple([facts[position] for position in positions])

        return cls(
            program_id=program_id,
            outcome=told["outcome"],
            supply=told["supply"],
            version=told["version"],
            yes=tuple(told["yes"]),
            no=tuple(told["no"]),
            open=tuple(told["open"]),
            missing=facts if told["missing"] is None else names(told["missing"]),
            gaps=Missing(
                tuple([names(one) for one in settle]), tuple([names(one) for one in qualify]), names(told["needed"])
            ),
            would_change=tuple([names(one) for one in told["change"]]),
            presumed=told["presumed"],
            readings=tuple(told["readings"]) if told["readings"] else None,
            note=told["note"],
            contradicted=tuple([fact_names[number] for number in told["contradicted"]]),
        )


_USUAL: dict[str, Any] = {
    "supply": "not_limited",
    "version": 0,
    "yes": (),
    "no": (),
    "open": (),
    "facts": [],
    "missing": None,
    "settle": [],
    "qualify": None,
    "needed": [],
    "change": [],
    "presumed": None,
    "readings": None,
    "note": None,
    "contradicted": [],
}
"""What a part of a record's JSON is when it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """All programs for one person at one moment. All of it is about the person: for sealed use only."""

    jurisdiction: str
    as_of: date
    law_version: str
    law_digest: str
    programs: tuple[Record, ...]
    """In the order of their ids."""
    known: Mapping[str, Any]
    """Values, in plain JSON, of the facts that the reasons cite."""
    presuming: tuple[str, ...]
    """Facts that only presumptions of the law add."""
    not_answered: Mapping[str, str]
    next_change_on: date | None
    contradictions: Contradictions = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """JSON for `orjson`. With sorted keys: the same bytes for the same facts, law and day."""
        contradictions = {"contradictions": self.contradictions} if self.contradictions else {}
        return {
            **contradictions,
            "form": FORM,
            "jurisdiction": self.jurisdiction,
            "as_of": self.as_of.isoformat(),
            "law_version": self.law_version,
            "law_digest": self.law_digest,
            "known": self.known,
            "presuming": self.presuming,
            "not_answered": self.not_answered,
            "next_change_on": self.next_change_on.isoformat() if self.next_change_on else None,
            "programs": {record.program_id: record.json for record in self.programs},
        }

    def answers(self) -> bytes:
        """What somebody can act upon, `ANSWER_BYTES` for each program: equal for equal answers, under any release."""
        return b"".join([record.digest for record in self.programs])


def fact_names(catalogue: Iterable[str]) -> tuple[str, ...]:
    """The facts of a release by their number in its records."""
    return tuple(sorted(catalogue))


def answer_digest(
    program: Program, outcome: Answer, supply: Supply, missing: tuple[str, ...], contradicted: tuple[str, ...] = ()
) -> bytes:
    """What somebody would act upon, in `ANSWER_BYTES` bytes: outcome, supply, what to ask, what to correct, and what is
    offered.

    Reasons, citations and versions explain an answer, and are not the answer.
    """
    offered: list[Any] = [program.services]
    if outcome != "not_eligible":
        offered += [program.documents, program.next_step.agency, program.next_step.dss]
    said = [program.id, outcome, supply, missing, offered]
    # Where nothing is contradicted, the same as before there was that label: such answers stay comparable.
    said += [contradicted] if contradicted else []
    return hashlib.blake2b(orjson.dumps(said), digest_size=ANSWER_BYTES).digest()
