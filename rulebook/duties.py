"""Decides every duty about one subject: due, not due because ..., or for review. Silence is not a decision."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Literal

import msgspec
from msgspec.structs import replace

from contracts.events import ClockKind, Outcome, PriorityClass
from contracts.facts import SubjectFacts
from rulebook.compiled import CompiledDuty
from rulebook.contradictions import open_by
from rulebook.deadlines import due_at
from rulebook.directory import Directory
from rulebook.doubts import Doubts, doubts
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.leaves import Leaf
from rulebook.loader import Law
from rulebook.person import all_facts, contradictions, told_facts
from rulebook.schema import Clock, Duty, DutyRule
from rulebook.trees import Evaluation, Tree, reason

COUNTY_UNRESOLVED = "county_unresolved"
RECIPIENT_UNRESOLVED = "recipient_unresolved"
NOT_IN_FORCE = "not_in_force"
FACTS_CONTRADICT = "facts_contradict"
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
    contradicted: tuple[str, ...] = ()
    """Contradicted facts on which it rests: without the contradiction a rule before the one that decided might decide,
    or a flag be set. Only a correction of what was told settles these (`rulebook.contradictions`). What would not be
    due but for them is for review (`rulebook.doubts`)."""
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
    told = told_facts(
        facts.subject, law, encounter_on=encounter_on, as_of=encounter_on, review_expired=facts.review_expired
    )
    person = all_facts(told, law, encounter_on)
    on = Evaluation(person, encounter_on, plan.of_duties(person, encounter_on))
    day = _day(law, facts.jurisdiction, encounter_on)
    contradictory = contradictions(told, person, law, encounter_on)
    why = _Why(on, day, tuple(contradictory), doubts(told, contradictory, law, facts.jurisdiction, encounter_on))
    return tuple(_decide(duty, why, facts, law) for duty in day.duties if all_duties or duty.reported)


def reported_duties(law: Law, jurisdiction: str) -> tuple[str, ...]:
    """Ids of the duties that `decide` answers for every subject: owed by the reporting agency, sent as a message."""
    return tuple(duty.spec.id for duty in engine(law).plan(jurisdiction).duties if _is_reported(duty.spec))


def _is_reported(spec: Duty) -> bool:
    return spec.channel == "electronic" and spec.owed_by == "reporting_agency"


# -- what does not depend on the person: worked out once for a release, a jurisdiction, and a day --


@dataclass(frozen=True, slots=True)
class _Rule:
    index: int
    spec: DutyRule
    flags: tuple[tuple[str, Tree], ...]
    explained_by: tuple[Tree, ...]
    """The rule's own condition, or for the last rule, which has none, what every other one lacked."""
    otherwise: tuple[Tree, ...]
    """What could make another decision of it, and all facts that this hangs on."""
    asks: frozenset[str]
    template: Decision
    """What it decides, but for what depends on the person."""


@dataclass(frozen=True, slots=True)
class _DutyOfDay:
    """A duty with the version that is in force on the day."""

    spec: Duty
    clock: Clock
    reported: bool
    rules: tuple[_Rule, ...]
    """Empty where no version is in force."""
    group: int
    """The same for duties with the same conditions, whatever follows from them."""
    truths: Callable[[Mapping[int, Truth]], object]
    """Of every comparison in the conditions: they settle which rule it is, and which comparisons decided that."""
    target: timedelta | None
    by_county: bool
    not_in_force: Decision


@dataclass(frozen=True, slots=True)
class _Day:
    duties: tuple[_DutyOfDay, ...]
    rank: dict[int, int]
    """Order of the leaves in an explanation, which does not depend on how conditions were written."""
    choices: dict[tuple[int, object], tuple[int, tuple[Leaf, ...]]]
    """By group and truths, as they are met: the place of the rule, and the comparisons that decided it."""
    words: dict[tuple[int, bool | None], str]
    """Of comparisons whose value says nothing about anybody: not known, yes, or no."""


_DAYS: dict[tuple[str, str, date], tuple[Law, _Day]] = {}
_KEPT_DAYS = 64
_KEPT_CHOICES = 10_000


def _day(law: Law, jurisdiction: str, day: date) -> _Day:
    name = (law.digest, jurisdiction, day)
    found = _DAYS.get(name)
    if found is None or found[0] is not law:
        while len(_DAYS) >= _KEPT_DAYS:
            _DAYS.pop(next(iter(_DAYS)))
        found = _DAYS[name] = (law, _made_ready(law, jurisdiction, day))
    return found[1]


def _made_ready(law: Law, jurisdiction: str, day: date) -> _Day:
    groups: dict[tuple[tuple[int, bool], ...], int] = {}
    duties = tuple(_duty_of_day(duty, day, law, groups) for duty in engine(law).plan(jurisdiction).duties)
    leaves = {leaf.index: leaf for duty in duties for rule in duty.rules for leaf in _leaves(rule.explained_by)}
    ordered = sorted(leaves.values(), key=lambda leaf: leaf.sort_key)
    return _Day(duties, {leaf.index: place for place, leaf in enumerate(ordered)}, {}, {})


def _leaves(trees: Iterable[Tree]) -> Iterator[Leaf]:
    return (leaf for tree in trees for leaf in tree.leaves())


def _duty_of_day(
    duty: CompiledDuty, day: date, law: Law, groups: dict[tuple[tuple[int, bool], ...], int]
) -> _DutyOfDay:
    spec, version = duty.spec, duty.version_on(day)
    if spec.clock is None or spec.channel == "standing":
        raise AssertionError("a standing duty is never decided")
    compiled = version.rules if version else ()
    cite = version.spec.cite if version else duty.versions[-1].spec.cite
    rules = tuple(
        _Rule(
            rule.when.index,
            rule.spec,
            rule.flags,
            (rule.when,) if rule.spec.when is not None else tuple(before.when for before in compiled[:place]),
            otherwise := version.otherwise(place) if version else (),
            frozenset(fact for leaf in _leaves(otherwise) for fact in leaf.facts),
            _template(
                spec,
                spec.clock,
                outcome=rule.spec.outcome,
                basis=rule.spec.basis,
                review_after=law.duration(rule.spec.review_after) if rule.spec.review_after else None,
                citations=cite,
                decided_by=rule.spec.decided_by,
            ),
        )
        for place, rule in enumerate(compiled)
    )
    asked = sorted({leaf.index for rule in rules for leaf in _leaves(rule.explained_by)})
    return _DutyOfDay(
        spec,
        spec.clock,
        _is_reported(spec),
        rules,
        groups.setdefault(tuple((rule.index, rule.spec.when is None) for rule in rules), len(groups)),
        itemgetter(*asked) if asked else lambda truths: None,
        law.duration(spec.clock.target) if spec.clock.target is not None else None,
        law.directory.by_county(spec.recipient_role, spec.jurisdiction),
        _template(spec, spec.clock, outcome="not_due", basis=(NOT_IN_FORCE,), citations=cite),
    )


def _template(
    spec: Duty,
    clock: Clock,
    *,
    outcome: Outcome,
    basis: tuple[str, ...],
    citations: tuple[str, ...],
    review_after: timedelta | None = None,
    decided_by: Literal["rule", "timer"] = "rule",
) -> Decision:
    return Decision(
        duty_id=spec.id,
        outcome=outcome,
        basis=basis,
        recipient_role=spec.recipient_role,
        clock=clock.kind,
        review_after=review_after,
        owner=spec.owner,
        priority=spec.priority,
        acknowledgement=spec.acknowledgement,
        disclosure=spec.disclosure.policy if spec.disclosure is not None else NO_DISCLOSURE,
        citations=citations,
        decided_by=decided_by,
        channel=spec.channel,  # type: ignore[arg-type]
        owed_by=spec.owed_by,
    )


@lru_cache(maxsize=4096)
def _recipient(directory: Directory, role: str, jurisdiction: str, county: str | None, on: date) -> str | None:
    return directory.resolve(role, jurisdiction, county, on)


# -- one person --


class _Why:
    """Applies rules to one person and explains the choice; what several duties share is worked out once."""

    __slots__ = ("_chosen", "_contradicted", "_day", "_said", "doubted", "on")

    def __init__(self, on: Evaluation, day: _Day, of_person: tuple[str, ...], doubted: Doubts) -> None:
        self.on = on
        self.doubted = doubted
        self._day = day
        self._contradicted = of_person
        self._chosen: dict[int, tuple[int, tuple[str, ...]]] = {}
        self._said: dict[int, str] = {}

    def first(self, duty: _DutyOfDay) -> tuple[_Rule, tuple[str, ...]]:
        """The first rule whose condition is certainly true, and why. The last one always is."""
        chosen = self._chosen.get(duty.group)
        if chosen is None:
            place, leaves = self._choice(duty)
            chosen = self._chosen[duty.group] = (place, tuple([self._say(leaf) for leaf in leaves]))
        place, reasons = chosen
        return duty.rules[place], reasons

    def contradicted(self, rule: _Rule) -> tuple[str, ...]:
        """The contradicted facts that leave a rule before this one open, or one of its flags."""
        if rule.asks.isdisjoint(self._contradicted):
            return ()
        return tuple(sorted(open_by(rule.otherwise, self.on, self._contradicted)))

    def _choice(self, duty: _DutyOfDay) -> tuple[int, tuple[Leaf, ...]]:
        truths, choices = self.on.truths, self._day.choices
        name = (duty.group, duty.truths(truths))
        choice = choices.get(name)
        if choice is None:
            place = next(place for place, rule in enumerate(duty.rules) if truths[rule.index] is Truth.TRUE)
            rank = self._day.rank
            trees = duty.rules[place].explained_by
            leaves = {rank[leaf.index]: leaf for tree in trees for leaf in tree.deciding(self.on)}
            if len(choices) >= _KEPT_CHOICES:
                choices.clear()
            choice = choices[name] = (place, tuple(leaves[number] for number in sorted(leaves)))
        return choice

    def _say(self, leaf: Leaf) -> str:
        words = self._said.get(leaf.index)
        if words is None:
            words = self._said[leaf.index] = self._words(leaf)
        return words

    def _words(self, leaf: Leaf) -> str:
        shown = leaf.shown_value(self.on.facts)
        if shown is not None and shown is not True and shown is not False:
            return str(reason(leaf, self.on))
        name = (leaf.index, shown)
        words = self._day.words.get(name)
        if words is None:
            words = self._day.words[name] = str(reason(leaf, self.on))
        return words


def _decide(duty: _DutyOfDay, why: _Why, facts: DutyFacts, law: Law) -> Decision:
    if not duty.rules:
        return duty.not_in_force
    rule, reasons = why.first(duty)
    template = rule.template
    flags = tuple([flag for flag, when in rule.flags if when.truth(why.on) is Truth.TRUE]) if rule.flags else ()
    label = why.contradicted(rule)
    spec, clock = duty.spec, duty.clock
    outcome, basis, review_after = template.outcome, template.basis, template.review_after
    if outcome == "not_due":
        if spec.id not in why.doubted:
            disclosure = _disclosure(duty, flags)
            return replace(template, flags=flags, reasons=reasons, disclosure=disclosure, contradicted=label)
        outcome, basis = "review", (*basis, FACTS_CONTRADICT)
        label = tuple(sorted({*label, *why.doubted[spec.id]}))
    county = facts.subject.encounter.location.county_fips if facts.subject.encounter else None
    recipient_id = _recipient(law.directory, spec.recipient_role, spec.jurisdiction, county, why.on.as_of)
    if recipient_id is None:
        # Nobody can be told yet, and no timer changes that: a person has to find out where it happened.
        basis = (*basis, COUNTY_UNRESOLVED if duty.by_county else RECIPIENT_UNRESOLVED)
        review_after = review_after if outcome == "review" else None
        outcome = "review"
    ends = None
    if clock.limit is not None:
        started = (facts.custody_at or facts.encounter_at) if clock.starts == "custody" else facts.discovered_at
        ends = due_at(clock, started, law, spec.jurisdiction)
    return replace(
        template,
        outcome=outcome,
        basis=basis,
        flags=flags,
        recipient_id=recipient_id,
        due_at=ends,
        target_at=facts.discovered_at + duty.target if duty.target is not None else None,
        review_after=review_after,
        disclosure=_disclosure(duty, flags),
        reasons=reasons,
        contradicted=label,
    )


def _disclosure(duty: _DutyOfDay, flags: tuple[str, ...]) -> str:
    """Id of the policy; a flag may demand another one."""
    disclosure = duty.spec.disclosure
    if disclosure is None:
        return NO_DISCLOSURE
    return next((policy for flag, policy in disclosure.when_flag.items() if flag in flags), disclosure.policy)
