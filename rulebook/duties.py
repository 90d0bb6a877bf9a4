"""Decides every duty about one subject: due, not due because ..., or for review. Silence is not a decision."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal

import msgspec

from contracts.events import ClockKind, Outcome, PriorityClass
from contracts.facts import SubjectFacts
from rulebook.compiled import CompiledDuty, CompiledDutyVersion, CompiledRule
from rulebook.deadlines import due_at
from rulebook.directory import Directory
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.leaves import Leaf
from rulebook.loader import Law
from rulebook.person import known_facts
from rulebook.trees import Evaluation, Tree, reason

COUNTY_UNRESOLVED = "county_unresolved"
RECIPIENT_UNRESOLVED = "recipient_unresolved"
NOT_IN_FORCE = "not_in_force"
NO_DISCLOSURE = "none"
"""Id of no policy: a task tells nobody anything in writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyFacts:
    """What a decision stands on. All times are aware."""

    subject: SubjectFacts
    encounter_at: datetime
    discovered_at: datetime
    """First moment any official had the suspicion: legal clocks start here, not at ingestion."""
    as_of: datetime
    """When it is decided; goes on record, and changes no outcome: ages count on the day of the encounter."""
    jurisdiction: str
    """Code of the reporting agency's jurisdiction, such as MO."""
    custody_at: datetime | None = None
    """When custody began, if that is known; else its clocks start at the encounter, the earliest possible."""
    review_expired: bool = False
    """Nobody settled the review before its timer ran out."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One duty, decided. `basis`, `flags` and `reasons` tell about the person: for sealed use only.

    A msgspec struct, because every encounter makes some 25 of them: it is made and encoded several times faster than a
    dataclass.
    """

    duty_id: str
    outcome: Outcome
    basis: tuple[str, ...]
    flags: tuple[str, ...] = ()
    recipient_role: str
    recipient_id: str | None = None
    clock: ClockKind
    due_at: datetime | None = None
    """End of the legal clock; None if the law gives no number."""
    target_at: datetime | None = None
    """When the operator's policy wants it done; never presented as law."""
    review_after: timedelta | None = None
    """How long a review waits for a person; then decide again with `review_expired`. None: only a person ends it."""
    owner: str
    """Who has to act while it is for review, or open."""
    priority: PriorityClass
    acknowledgement: Literal["accepted", "done"]
    """The recipient's answer that ends the duty."""
    disclosure: str
    """Id of the disclosure policy, or NO_DISCLOSURE; see `rulebook.disclosure.disclose`."""
    citations: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    decided_by: Literal["rule", "timer"] = "rule"
    channel: Literal["electronic", "task"] = "electronic"
    """A task is done by a person, or by another agency; the system records it and sends nothing."""
    owed_by: str = "reporting_agency"

    @property
    def noticed(self) -> bool:
        """A notice of this system fulfils it; what else is owed, a person does."""
        return self.channel == "electronic" and self.owed_by == "reporting_agency"


def decide(facts: DutyFacts, law: Law, *, all_duties: bool = False) -> tuple[Decision, ...]:
    """One decision for each duty of the jurisdiction and of those it is within, its own first.

    Without `all_duties`, only those that the reporting agency owes and that travel as a message; with it, also the
    tasks and what others owe on the same event. Standing duties are set off by no encounter and never decided.
    Pure. Ages count on the day of the encounter, in the jurisdiction's time zone; the version of a duty is the one in
    force on that day. Raises LawError for a jurisdiction that the law does not hold.
    """
    plan = engine(law).plan(facts.jurisdiction)
    encounter_on = law.local_date(facts.jurisdiction, facts.encounter_at)
    person = known_facts(
        facts.subject, law, encounter_on=encounter_on, as_of=encounter_on, review_expired=facts.review_expired
    )
    on = Evaluation(person, encounter_on, plan.of_duties(person, encounter_on))
    why = _Why(on)
    return tuple(_decide(duty, why, facts, law) for duty in plan.duties if all_duties or _is_reported(duty))


def reported_duties(law: Law, jurisdiction: str) -> tuple[str, ...]:
    """Ids of the duties that `decide` answers for every subject: owed by the reporting agency, sent as a message."""
    return tuple(duty.spec.id for duty in engine(law).plan(jurisdiction).duties if _is_reported(duty))


def _is_reported(duty: CompiledDuty) -> bool:
    return duty.spec.channel == "electronic" and duty.spec.owed_by == "reporting_agency"


class _Why:
    """Explains the decisions about one person; what several duties stand on is put into words once."""

    __slots__ = ("_leaves", "_said", "_told", "on")

    def __init__(self, on: Evaluation) -> None:
        self.on = on
        self._leaves: dict[int, tuple[Leaf, ...]] = {}
        self._said: dict[int, str] = {}
        self._told: dict[tuple[int, ...], tuple[str, ...]] = {}

    def told(self, trees: tuple[Tree, ...]) -> tuple[str, ...]:
        """Why the conditions are what they are, in an order that does not depend on how they were written."""
        name = tuple(tree.index for tree in trees)
        told = self._told.get(name)
        if told is None:
            found = {leaf.index: leaf for tree in trees for leaf in self._deciding(tree)}
            told = tuple(self._say(leaf) for leaf in sorted(found.values(), key=lambda leaf: leaf.sort_key))
            self._told[name] = told
        return told

    def _deciding(self, tree: Tree) -> tuple[Leaf, ...]:
        leaves = self._leaves.get(tree.index)
        if leaves is None:
            leaves = self._leaves[tree.index] = tuple(tree.deciding(self.on))
        return leaves

    def _say(self, leaf: Leaf) -> str:
        said = self._said.get(leaf.index)
        if said is None:
            said = self._said[leaf.index] = str(reason(leaf, self.on))
        return said


def _decide(duty: CompiledDuty, why: _Why, facts: DutyFacts, law: Law) -> Decision:
    on = why.on
    version = duty.version_on(on.as_of)
    if version is None:
        return _decision(duty, facts, law, outcome="not_due", basis=(NOT_IN_FORCE,))
    fired, passed = _first_match(version, on)
    rule = fired.spec
    outcome: Outcome = rule.outcome
    basis = rule.basis
    review_after = law.duration(rule.review_after) if rule.review_after else None
    recipient_id = _recipient(duty, facts, law, on)
    if outcome != "not_due" and recipient_id is None:
        # Nobody can be told yet, and no timer changes that: a person has to find out where it happened.
        by_county = law.directory.by_county(duty.spec.recipient_role, duty.spec.jurisdiction)
        basis = (*basis, COUNTY_UNRESOLVED if by_county else RECIPIENT_UNRESOLVED)
        review_after = review_after if outcome == "review" else None
        outcome = "review"
    return _decision(
        duty,
        facts,
        law,
        outcome=outcome,
        basis=basis,
        flags=tuple(flag for flag, when in fired.flags if when.truth(on) is Truth.TRUE),
        recipient_id=recipient_id,
        review_after=review_after,
        citations=version.spec.cite,
        reasons=why.told(_trees(fired, passed)),
        decided_by=rule.decided_by,
    )


def _first_match(version: CompiledDutyVersion, on: Evaluation) -> tuple[CompiledRule, list[CompiledRule]]:
    """The first rule whose condition is certainly true, and those before it. The last one always is."""
    passed: list[CompiledRule] = []
    for rule in version.rules:
        if on.truths[rule.when.index] is Truth.TRUE:
            return rule, passed
        passed.append(rule)
    raise AssertionError("the last rule of a duty has no condition")


def _trees(fired: CompiledRule, passed: list[CompiledRule]) -> tuple[Tree, ...]:
    """What explains the choice: the rule's own condition, or for the last rule what every other one lacked."""
    return (fired.when,) if fired.spec.when is not None else tuple(rule.when for rule in passed)


def _recipient(duty: CompiledDuty, facts: DutyFacts, law: Law, on: Evaluation) -> str | None:
    county = facts.subject.encounter.location.county_fips if facts.subject.encounter else None
    return _resolved(law.directory, duty.spec.recipient_role, duty.spec.jurisdiction, county, on.as_of)


@lru_cache(maxsize=4096)
def _resolved(directory: Directory, role: str, jurisdiction: str, county: str | None, on: date) -> str | None:
    return directory.resolve(role, jurisdiction, county, on)


def _decision(
    duty: CompiledDuty,
    facts: DutyFacts,
    law: Law,
    *,
    outcome: Outcome,
    basis: tuple[str, ...],
    flags: tuple[str, ...] = (),
    recipient_id: str | None = None,
    review_after: timedelta | None = None,
    citations: tuple[str, ...] = (),
    reasons: tuple[str, ...] = (),
    decided_by: Literal["rule", "timer"] = "rule",
) -> Decision:
    spec = duty.spec
    open_ = outcome != "not_due"
    if spec.clock is None or spec.channel == "standing":
        raise AssertionError("a standing duty is never decided")
    started = (facts.custody_at or facts.encounter_at) if spec.clock.starts == "custody" else facts.discovered_at
    target = law.duration(spec.clock.target) if spec.clock.target is not None else None
    policies = spec.disclosure.when_flag if spec.disclosure else {}
    variants = (policy for flag, policy in policies.items() if flag in flags)
    return Decision(
        duty_id=spec.id,
        outcome=outcome,
        basis=basis,
        flags=flags,
        recipient_role=spec.recipient_role,
        recipient_id=recipient_id if open_ else None,
        clock=spec.clock.kind,
        due_at=due_at(spec.clock, started, law, spec.jurisdiction) if open_ else None,
        target_at=facts.discovered_at + target if open_ and target is not None else None,
        review_after=review_after,
        owner=spec.owner,
        priority=spec.priority,
        acknowledgement=spec.acknowledgement,
        disclosure=next(variants, spec.disclosure.policy if spec.disclosure else NO_DISCLOSURE),
        citations=citations or duty.versions[-1].spec.cite,
        reasons=reasons,
        decided_by=decided_by,
        channel=spec.channel,
        owed_by=spec.owed_by,
    )
