"""Turns what was reported about a person into facts by catalogue id, without filling any gap."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from contracts.facts import Age, Circumstances, Status, SubjectFacts
from rulebook.contradictions import Contradictions, contradicted, exclusions
from rulebook.dates import age_on
from rulebook.disclosure import parse_path
from rulebook.errors import LawError
from rulebook.generated import engine
from rulebook.possibilities import read_reported
from rulebook.schema import FactSpec
from rulebook.screening import screened_status
from rulebook.values import Among, FactMap, Interval, Value

if TYPE_CHECKING:
    from rulebook.loader import Law

NOT_ANSWERED = ("unknown", "refused")
"""Reserved answers: asked and not known, asked and not given. Both leave the fact unknown."""
STATUS = "victim_status"
"""How firmly somebody is regarded as a victim: a screening may raise it, and lowers nothing."""
RESIDENCE = "state_of_residence"
"""Told by the county where they live; where that is not known, by itself."""


@dataclass(frozen=True, slots=True)
class ReportedField:
    """A fact that has its own field in a report."""

    fact: str
    spec: FactSpec
    group: str
    read: Callable[[Any], Any]


def reported_fields(catalogue: Mapping[str, FactSpec]) -> tuple[ReportedField, ...]:
    """The catalogue's facts that have a field. Raises LawError for a `from` that is not a field of a report."""
    found = []
    for fact, spec in catalogue.items():
        if spec.from_ is None:
            continue
        try:
            group, *steps = parse_path(spec.from_)
        except LawError as error:
            raise LawError(f"facts.yaml, fact {fact}: {error}") from None
        found.append(ReportedField(fact, spec, group, attrgetter(".".join(steps))))
    return tuple(found)


def known_facts(
    facts: SubjectFacts,
    law: "Law",
    *,
    encounter_on: date,
    as_of: date,
    review_expired: bool = False,
    presume: bool = True,
) -> FactMap:
    """What is known of the person on the day `as_of`, derivations of the law included; its presumptions if wanted.

    A fact that nobody reported, that was refused, or that does not fit its type, is absent.
    """
    told = told_facts(facts, law, encounter_on=encounter_on, as_of=as_of, review_expired=review_expired)
    return all_facts(told, law, as_of, presume=presume)


def told_facts(
    facts: SubjectFacts, law: "Law", *, encounter_on: date, as_of: date, review_expired: bool = False
) -> dict[str, Value]:
    """The facts of `known_facts` before anything is concluded from them."""
    return {"review_expired": review_expired} | reported_facts(facts, law, encounter_on=encounter_on, as_of=as_of)


def all_facts(told: FactMap, law: "Law", as_of: date, *, presume: bool = True) -> dict[str, Value]:
    """With what follows from them by the law, its presumptions included if wanted."""
    known = dict(told)
    rules = engine(law)
    (rules.derive if presume else rules.derive_certain)(known, as_of)
    return known


def contradictions(told: FactMap, known: FactMap, law: "Law", as_of: date, *, presume: bool = True) -> Contradictions:
    """Which of the facts that were told exclude each other; `known` is what `all_facts` makes of them."""
    if not contradicted(known, engine(law).contradictable):
        return {}
    return exclusions(told, law, as_of, presume=presume)


def reported_facts(facts: SubjectFacts, law: "Law", *, encounter_on: date, as_of: date) -> dict[str, Value]:
    """What a report itself says of the person, by catalogue id, with the age that it gives on the day `as_of`."""
    known: dict[str, Value] = {}
    for group, open_facts in (("circumstances", facts.circumstances), ("status", facts.status)):
        if open_facts is not None:
            _add_open(known, law.facts, group, open_facts)
    for reported in law.reported:
        group_facts = getattr(facts, reported.group)
        if group_facts is not None:
            _add(known, reported.fact, reported.spec, reported.read(group_facts))
    if facts.circumstances is not None:
        results = ((one.protocol_id, one.protocol_version, one.outcome) for one in facts.circumstances.screening)
        least = screened_status(results, law.screening)
        if least != "unchanged":
            known[STATUS] = raised(known.get(STATUS), least, law.facts[STATUS])
    add_age(known, facts.age or Age(), facts.circumstances, encounter_on, as_of)
    residence = facts.circumstances.residence_county_fips if facts.circumstances else None
    if residence is not None:
        known[RESIDENCE] = residence_of(residence, law)
    return known


def raised(value: Value | None, least: str, spec: FactSpec) -> Value:
    """A value of an ordered enumeration, or what is known of it, where nothing below `least` is possible any more."""
    if value is None:
        members: Iterable[Any] = spec.values
    else:
        members = value.values if isinstance(value, Among) else (value,)
    possible = frozenset(max(member, least, key=spec.values.index) for member in members)
    return Among(possible) if len(possible) > 1 else next(iter(possible))


def residence_of(county_fips: str, law: "Law") -> str:
    """The state, as the catalogue names it: those that some program asks for, and all others as one."""
    state = law.state_of(county_fips)
    return state if state in law.facts[RESIDENCE].values else "other"


def not_answered(facts: SubjectFacts) -> dict[str, str]:
    """Facts of the open maps that were asked for without an answer: `unknown` or `refused`, by id."""
    groups: tuple[Circumstances | Status | None, ...] = (facts.circumstances, facts.status)
    found = {fact: str(value) for group in groups if group for fact, value in group.facts.items()}
    if facts.status is not None and facts.status.citizenship is not None:
        found["citizenship_status"] = facts.status.citizenship
    return {fact: answer for fact, answer in sorted(found.items()) if answer in NOT_ANSWERED}


def is_open(fact: str, spec: FactSpec) -> bool:
    """Whether the open facts of a report may hold it: what is worked out from other facts is not told.

    But for the state of residence, which may be known where the county is not.
    """
    return not spec.computed or fact == RESIDENCE


def group_of(spec: FactSpec) -> str:
    """The group of a report whose open facts hold it."""
    return "status" if spec.group == "status" else "circumstances"


def _add(known: dict[str, Value], fact: str, spec: FactSpec, raw: Any) -> None:
    if raw is None or raw in NOT_ANSWERED:
        return
    try:
        value = read_reported(spec, raw)
        if value is not None:
            known[fact] = value
    except ValueError:
        # Reports are checked on the way in (`rulebook.problems`); a value that a later catalogue no longer allows
        # is not known, which is never a no.
        known.pop(fact, None)


def _add_open(
    known: dict[str, Value], catalogue: Mapping[str, FactSpec], group: str, reported: Circumstances | Status
) -> None:
    for fact, raw in reported.facts.items():
        spec = catalogue.get(fact)
        if spec is not None and is_open(fact, spec) and group_of(spec) == group:
            _add(known, fact, spec, raw)


def add_age(
    known: dict[str, Value], age: Age, circumstances: Circumstances | None, encounter_on: date, as_of: date
) -> None:
    born = age.birth_date if age.birth_date is not None and age.birth_date <= encounter_on else None
    verified = age.verified_by is not None and (born is not None or age.years is not None)
    known["age_verified"] = verified
    if not verified:
        claims = [age.stated_years, age.years, age_on(encounter_on, born) if born else None]
        stated = [claim for claim in claims if claim is not None]
        if stated:
            known["stated_age_years"] = min(stated)
        return
    if born is not None:
        known["age_years"] = age_on(as_of, born)
        conduct_on = circumstances.custody.conduct_alleged_on if circumstances else None
        if conduct_on is not None and conduct_on >= born:
            known["age_at_alleged_conduct"] = age_on(conduct_on, born)
    elif age.years is not None:
        since = age_on(as_of, encounter_on) if as_of > encounter_on else 0
        # Years alone do not tell the birthday: after the day of the encounter it may have passed, or not.
        known["age_years"] = age.years if as_of <= encounter_on else Interval(age.years + since, age.years + since + 1)
