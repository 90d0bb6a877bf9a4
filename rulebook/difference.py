"""Whose answer changes between two releases of the law: what whoever adopts one wants to know before.

Everybody is evaluated in columns under both releases. Those whose answers differ are evaluated once more one by one,
which gives the reason, and holds the evaluators against each other where it matters.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rulebook import columns
from rulebook.answers import Determination, ProgramAnswer
from rulebook.cases import Case
from rulebook.compiled import CompiledDuty, CompiledRule
from rulebook.duties import Decision, DutyFacts, decide
from rulebook.encoding import Columns, encode
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.loader import Law
from rulebook.person import known_facts
from rulebook.programs import determine
from rulebook.trees import Reason
from rulebook.wording import compared

TOLD = 1000
"""Persons whose changes are told one by one; the totals count everybody."""
ABSENT = "no_such_rule"
"""Instead of an answer: the release does not hold the program or the duty."""

_WORDS = (
    (int(Truth.FALSE), "not_eligible"),
    (int(Truth.UNKNOWN), "potentially_eligible"),
    (columns.DISPUTED, "disputed"),
    (int(Truth.TRUE), "eligible"),
)
_COMPARED = (
    *("outcome", "recipient_id", "channel", "clock", "due_at", "target_at"),
    *("review_after", "basis", "flags", "disclosure"),
)
"""What of a decision is compared."""


class EvaluatorsDisagree(RuntimeError):
    """The columns and the evaluator for one person answer differently: a defect of the rulebook, not of the law."""


@dataclass(frozen=True, slots=True)
class Change:
    """One answer of one person that differs. `because` names the law and the comparisons, and no value of anybody."""

    case: str
    rule: str
    before: str
    after: str
    version_before: date | None
    version_after: date | None
    """First day of the version that was applied; None if none was, or which one is not known."""
    citations: tuple[str, ...]
    """Of the later release: those that the earlier one did not give, or all if they are the same."""
    because: tuple[str, ...]
    what: tuple[str, ...] = ()
    """Of a duty: which parts of the decision differ."""

    def to_json(self) -> dict[str, Any]:
        days = {"version_before": self.version_before, "version_after": self.version_after}
        found: dict[str, Any] = {"case": self.case, "rule": self.rule, "before": self.before, "after": self.after}
        found |= {name: day.isoformat() if day else None for name, day in days.items()}
        found |= {"citations": list(self.citations), "because": list(self.because)}
        return found | ({"what": list(self.what)} if self.what else {})


Totals = Mapping[str, Mapping[tuple[str, str], int]]
"""By rule: how many persons went from which answer to which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All that differs for some persons between two releases."""

    before: str
    after: str
    as_of: date
    persons: int
    changed: int
    """Persons of whom at least one answer differs."""
    program_totals: Totals
    duty_totals: Totals
    programs: tuple[Change, ...]
    duties: tuple[Change, ...]
    told: int
    """Persons whose changes are among `programs` and `duties`, each evaluated a second time one by one."""

    def to_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "as_of": self.as_of.isoformat(),
            "persons": self.persons,
            "changed": self.changed,
            "told": self.told,
            "program_totals": _listed(self.program_totals),
            "duty_totals": _listed(self.duty_totals),
            "programs": [change.to_json() for change in self.programs],
            "duties": [change.to_json() for change in self.duties],
        }


def difference(
    before: Law, after: Law, cases: Sequence[Case], *, jurisdiction: str, as_of: datetime, told: int = TOLD
) -> Difference:
    """Programs as of a day; duties as of each encounter. Raises LawError for a jurisdiction that one does not hold."""
    one, other = sides = (_Side(before, cases, jurisdiction, as_of), _Side(after, cases, jurisdiction, as_of))
    program_totals, by_program = _compare(one.programs(), other.programs(), len(cases))
    duty_totals, by_duty = _compare(one.duties(), other.duties(), len(cases))
    rows = np.flatnonzero(by_program | by_duty)
    programs: list[Change] = []
    duties: list[Change] = []
    for row in rows[:told].tolist():
        found = list(_program_changes(sides, row))
        if bool(found) != bool(by_program[row]):
            raise EvaluatorsDisagree(f"{cases[row].label}: columns and walker differ; please report it")
        programs += found
        duties += _duty_changes(sides, row)
    return Difference(
        before=before.version,
        after=after.version,
        as_of=before.local_date(jurisdiction, as_of),
        persons=len(cases),
        changed=len(rows),
        program_totals=program_totals,
        duty_totals=duty_totals,
        programs=tuple(programs),
        duties=tuple(duties),
        told=min(told, len(rows)),
    )


_Answers = tuple[Mapping[str, NDArray[np.int64]], Mapping[int, tuple[str, Any]]]
"""A number for the answer of each person, by rule; and by number the answer in a word, and all that is compared."""


class _Side:
    """All cases under one of the two releases."""

    def __init__(self, law: Law, cases: Sequence[Case], jurisdiction: str, as_of: datetime) -> None:
        self._law = law
        self._cases = cases
        self._jurisdiction = jurisdiction
        self._as_of = as_of
        self._plan = engine(law).plan(jurisdiction)

    def programs(self) -> _Answers:
        day = self._law.local_date(self._jurisdiction, self._as_of)
        known = (
            known_facts(case.facts, self._law, encounter_on=self._day(case), as_of=day, presume=False)
            for case in self._cases
        )
        people = encode(list(known), self._law.facts)
        plain = columns.answers(people, self._law, self._jurisdiction, day)
        presumed = columns.answers(people, self._law, self._jurisdiction, day, presume=True)
        numbers = {}
        for name, own in plain.items():
            other = np.where(own == columns.DISPUTED, own, presumed[name])
            numbers[name] = own.astype(np.int64) << 2 | other
        return numbers, {a << 2 | b: (_told(own, other),) * 2 for a, own in _WORDS for b, other in _WORDS}

    def duties(self) -> _Answers:
        """Decided by the day of the encounter, so day by day."""
        found = {duty.spec.id: np.zeros(len(self._cases), np.int64) for duty in self._plan.duties}
        seen: dict[Any, int] = {}
        by_day: dict[date, list[int]] = {}
        for row, case in enumerate(self._cases):
            by_day.setdefault(self._day(case), []).append(row)
        for day, rows in by_day.items():
            some = [self._cases[row] for row in rows]
            known = [known_facts(case.facts, self._law, encounter_on=day, as_of=day) for case in some]
            counties = [case.facts.encounter.location.county_fips if case.facts.encounter else None for case in some]
            people = encode(known, self._law.facts)
            for duty in self._plan.duties:
                numbers = (seen.setdefault(one, len(seen)) for one in self._decided(duty, people, counties, day))
                found[duty.spec.id][rows] = np.fromiter(numbers, np.int64, len(rows))
        return found, {number: (one[0], one) for one, number in seen.items()}

    def _decided(
        self, duty: CompiledDuty, people: Columns, counties: Sequence[str | None], day: date
    ) -> Iterator[tuple[Any, ...]]:
        """What is compared of each decision, the outcome first. The times follow from the clock, which is in it."""
        version = duty.version_on(day)
        if version is None:
            yield from (("not_due", "not_in_force") for _ in counties)
            return
        fired, flags = columns.fired(duty, people, self._law, day)
        kept: dict[tuple[int, int, str | None], tuple[Any, ...]] = {}
        for one in zip(fired.tolist(), flags.tolist(), counties, strict=True):
            if one not in kept:
                kept[one] = self._signature(duty, version.rules[one[0]], one[1], one[2], day)
            yield kept[one]

    def _signature(
        self, duty: CompiledDuty, rule: CompiledRule, flags: int, county: str | None, day: date
    ) -> tuple[Any, ...]:
        spec = duty.spec
        told = tuple(flag for position, (flag, _) in enumerate(rule.flags) if flags >> position & 1)
        if rule.spec.outcome == "not_due":
            return "not_due", rule.spec.basis, told
        clock = spec.clock
        assert clock is not None, "a standing duty is never decided"
        recipient = self._law.directory.resolve(spec.recipient_role, spec.jurisdiction, county, day)
        return (
            rule.spec.outcome if recipient is not None else "review",
            rule.spec.basis,
            told,
            recipient,
            spec.channel,
            clock.model_dump_json(),
            self._law.calendars[clock.calendar].model_dump_json() if clock.calendar else None,
            self._law.duration(clock.target) if clock.target else None,
            self._law.duration(rule.spec.review_after) if rule.spec.review_after else None,
            self._law.jurisdictions[spec.jurisdiction].time_zone,
            spec.disclosure.model_dump_json() if spec.disclosure else None,
        )

    def determination(self, row: int) -> Determination:
        case = self._cases[row]
        return determine(
            case.facts, self._law, jurisdiction=self._jurisdiction, encounter_at=case.encounter_at, as_of=self._as_of
        )

    def decisions(self, row: int) -> dict[str, Decision]:
        case = self._cases[row]
        facts = DutyFacts(
            subject=case.facts,
            encounter_at=case.encounter_at,
            discovered_at=case.discovered_at,
            as_of=self._as_of,
            jurisdiction=self._jurisdiction,
        )
        return {decision.duty_id: decision for decision in decide(facts, self._law, all_duties=True)}

    def version_of_duty(self, duty_id: str, row: int) -> date | None:
        duty = next(duty for duty in self._plan.duties if duty.spec.id == duty_id)
        version = duty.version_on(self._day(self._cases[row]))
        return None if version is None else version.spec.effective.from_

    def label(self, row: int) -> str:
        return self._cases[row].label

    def _day(self, case: Case) -> date:
        return self._law.local_date(self._jurisdiction, case.encounter_at)


def _compare(before: _Answers, after: _Answers, rows: int) -> tuple[Totals, NDArray[np.bool_]]:
    """How many went from what to what, by rule; and who of them."""
    changed = np.zeros(rows, np.bool_)
    totals: dict[str, dict[tuple[str, str], int]] = {}
    (numbers, meaning), (later_numbers, later_meaning) = before, after
    for rule in sorted({*numbers, *later_numbers}):
        if rule not in numbers or rule not in later_numbers:
            changed[:] = True
            present, words = (numbers, meaning) if rule in numbers else (later_numbers, later_meaning)
            counted = Counter(words[number][0] for number in present[rule].tolist())
            totals[rule] = {(word, ABSENT) if rule in numbers else (ABSENT, word): n for word, n in counted.items()}
            continue
        pairs, where, counts = np.unique(
            np.stack((numbers[rule], later_numbers[rule])), axis=1, return_inverse=True, return_counts=True
        )
        differs = np.array([meaning[a][1] != later_meaning[b][1] for a, b in pairs.T.tolist()], np.bool_)
        changed |= differs[where.reshape(-1)]
        found: Counter[tuple[str, str]] = Counter()
        for (a, b), count, is_other in zip(pairs.T.tolist(), counts.tolist(), differs.tolist(), strict=True):
            if is_other:
                found[meaning[a][0], later_meaning[b][0]] += count
        if found:
            totals[rule] = dict(sorted(found.items()))
    return totals, changed


def _program_changes(sides: tuple[_Side, _Side], row: int) -> Iterator[Change]:
    before, after = ({answer.program_id: answer for answer in side.determination(row).programs} for side in sides)
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if _verdict(old) != _verdict(new):
            yield Change(
                case=sides[0].label(row),
                rule=name,
                before=_verdict(old),
                after=_verdict(new),
                version_before=old.version_from if old else None,
                version_after=new.version_from if new else None,
                citations=_new_or_all(old.citations if old else (), new.citations if new else ()),
                because=_new_or_all(_compared(old.reasons if old else ()), _compared(new.reasons if new else ())),
            )


def _duty_changes(sides: tuple[_Side, _Side], row: int) -> Iterator[Change]:
    before, after = (side.decisions(row) for side in sides)
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        what = tuple(part for part in _COMPARED if getattr(old, part, None) != getattr(new, part, None))
        if what:
            yield Change(
                case=sides[0].label(row),
                rule=name,
                before=old.outcome if old else ABSENT,
                after=new.outcome if new else ABSENT,
                version_before=sides[0].version_of_duty(name, row) if old else None,
                version_after=sides[1].version_of_duty(name, row) if new else None,
                citations=_new_or_all(old.citations if old else (), new.citations if new else ()),
                because=tuple(f"{part}: {_part(old, part)} -> {_part(new, part)}" for part in what),
                what=what,
            )


def _verdict(answer: ProgramAnswer | None) -> str:
    if answer is None:
        return ABSENT
    return _told(answer.outcome, answer.presumed.outcome if answer.presumed else answer.outcome)


def _told(own: str, presumed: str) -> str:
    """What a presumption of the law would make of an answer stands behind it."""
    return own if own == presumed else f"{own} (presumed: {presumed})"


def _compared(reasons: Iterable[Reason]) -> tuple[str, ...]:
    return tuple(compared(reason.fact, reason.operator, reason.threshold) for reason in reasons)


def _new_or_all(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    return tuple(one for one in after if one not in before) or tuple(after)


def _part(decision: Decision | None, part: str) -> str:
    value = getattr(decision, part, None)
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return value.isoformat() if isinstance(value, datetime) else str(value if value is not None else "none")


def _listed(totals: Totals) -> list[dict[str, Any]]:
    return [
        {"rule": rule, "before": before, "after": after, "persons": count}
        for rule, found in totals.items()
        for (before, after), count in found.items()
    ]
