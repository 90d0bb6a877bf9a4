"""No program's condition is weaker than in the draft catalog, unless docs/law.md says so and names its source."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from rulebook.loader import Law
from rulebook.programs import determine
from tests.unit.law import draft
from tests.unit.law.people import noon, person, presuming

DRAFT = draft.read()
DAYS = [date(2025, 5, 4), date(2025, 7, 3), date(2025, 7, 4), date(2026, 9, 30), date(2026, 10, 1), date(2026, 11, 22)]
DAYS += [date(2026, 12, 31), date(2027, 1, 1)]
DOCUMENT = Path(__file__).parents[3] / "docs" / "law.md"
RANK = {"not_eligible": 0, "potentially_eligible": 1, "eligible": 2}
PEOPLE_OF_A_PROGRAM = 64


@cache
def values(program_id: str) -> dict[str, list[Any]]:
    """For each fact that the draft reads here: its values on both sides of every boundary, and not known."""
    found: dict[str, set[Any]] = defaultdict(set)
    (program,) = (p for p in DRAFT["programs"] if p["id"] == program_id)
    for leaf in (leaf for rule in program["rules"] for leaf in draft.leaves(rule["when"])):
        found[leaf["fact"]] |= set(_around(leaf))
    if program_id == "mo_chip":
        found["age_years"] |= {0, 1}  # Medicaid has another limit for infants, which the draft left out here
    return {fact: [*sorted(around, key=str), None] for fact, around in found.items()}


def _around(leaf: draft.Draft) -> Iterator[Any]:
    fact, op, threshold = leaf["fact"], leaf["op"], leaf.get("value")
    if op in ("is_true", "is_false"):
        yield from (True, False)
    elif op == "within_months":
        yield from (timedelta(days=days) for days in (0, threshold * 30, threshold * 30 + 6, threshold * 31 + 1))
    elif op == "within_days":
        yield from (timedelta(days=days) for days in (0, threshold, threshold + 1))
    elif fact == "age_years" or DRAFT["facts"][fact]["type"] == "int":
        yield from (threshold - 1, threshold, threshold + 1)
    elif DRAFT["facts"][fact]["type"] == "number":
        yield from (f"{Decimal(threshold) + step}" for step in (Decimal("-0.01"), 0, Decimal("0.01")))
    else:
        yield from (value for value in DRAFT["facts"][fact]["values"] if value != "unknown")


def people() -> Iterator[tuple[str, dict[str, Any], date]]:
    """Facts around the boundaries of one program after the other, the favorable ones more often."""
    chance = random.Random(566_223)
    for program in DRAFT["programs"]:
        around = values(program["id"])
        for number in range(PEOPLE_OF_A_PROGRAM):
            day = DAYS[number % len(DAYS)]
            rule = chance.choice(program["rules"])
            facts = {fact: _pick(chance, fact, options, rule, day) for fact, options in around.items()}
            facts["trafficking_type"] = chance.choice(["sex", "labor", "both", None])
            facts["victim_status"] = chance.choice(["suspected", "presumed", "confirmed", "confirmed", None])
            facts.setdefault("age_years", chance.choice([0, 1, 13, 17, 18, 19, 30, 65, None]))
            facts.setdefault("citizenship_status", chance.choice(["us_citizen", "lpr", "undocumented", None]))
            yield program["id"], {fact: value for fact, value in facts.items() if value is not None}, day
    for program_id, facts in MET_RARELY.items():
        yield program_id, _ADULT | facts, date(2026, 9, 30)


# Whom chance meets too rarely: an adult or a child of whom only what the table of docs/law.md speaks of is unusual.
_QUALIFIED = {"citizenship_status": "vawa_self_petitioner", "lpr_or_qualified_years": "5"} | dict.fromkeys(
    ("hhs_certification_letter", "child_eligibility_letter", "interim_assistance_letter", "derivative_t_status"), False
)
_ADULT = {"state_of_residence": "MO", "age_years": 24, "victim_status": "confirmed", "household_income_pct_fpl": "100"}
MET_RARELY: dict[str, dict[str, Any]] = {
    "mohealthnet_adult_expansion": _QUALIFIED | {"pregnant": False, "medicare_entitled": False, "receives_ssi": False},
    "mohealthnet_pregnant": _QUALIFIED | {"pregnant": True},
    "mo_chip": _QUALIFIED
    | {"age_years": 13, "household_income_pct_fpl": "200", "has_other_health_coverage": False, "in_foster_care": False},
    "wic": {"pregnant": True, "household_income_pct_fpl": "200", "medicaid_or_chip_eligible": False}
    | {"nutritional_risk": True, "citizenship_status": "us_citizen"},
    "liheap": _QUALIFIED
    | {"pays_home_heating_cost": True, "household_income_pct_smi": "50", "countable_resources_usd": "1000"},
}
"""By program, on 2026-09-30."""


def _pick(chance: random.Random, fact: str, options: list[Any], rule: draft.Draft, day: date) -> Any:
    dated = [day - option if isinstance(option, timedelta) else option for option in options]
    fitting = [
        value
        for value in dated
        for leaf in draft.leaves(rule["when"])
        if leaf["fact"] == fact and draft.condition(leaf, {fact: value}, day)
    ]
    return chance.choice(fitting if fitting and chance.random() < 0.7 else dated)


# The draft knows income as a percentage, and does not say of which year. By program: the day of the year on which it
# takes a new guideline, where that is not the guideline's own; and how its monthly limit is rounded.
INCOME = ("household_income_pct_fpl", "household_income_pct_smi")
TAKES: dict[str, tuple[int, int]] = {"snap": (10, 1), "wic": (7, 1)} | dict.fromkeys(
    ("mohealthnet_adult_expansion", "mohealthnet_kids", "mo_chip", "mohealthnet_pregnant", "show_me_healthy_babies"),
    (4, 1),
)
GUIDELINES = ((date(2024, 1, 11), 15_060), (date(2025, 1, 15), 15_650), (date(2026, 1, 13), 15_960))
OURS = {fact: ["household_income_monthly_cents", "household_size"] for fact in INCOME}
OURS["countable_resources_usd"] = ["countable_resources_cents"]
MEDIANS = ((date(2025, 10, 1), 109_229), (date(2026, 10, 1), 113_137))


def income_rule(program: draft.Draft) -> Any:
    """Programs of one rule read an income alike; None for one that asks for none."""
    asked = {leaf["fact"] for rule in program["rules"] for leaf in draft.leaves(rule["when"])} & set(INCOME)
    return (asked.pop(), TAKES.get(program["id"])) if asked else None


def income(rule: Any, percent: Decimal, day: date) -> int | None:
    """Cents a month that one person may have at so many percent; a hundredth of a point is a cent over or under."""
    fact, takes = rule
    years = GUIDELINES if fact == INCOME[0] else MEDIANS
    if takes is not None:
        taken = day.replace(month=takes[0], day=takes[1])
        day = taken if taken <= day else taken.replace(year=taken.year - 1)
    held = [dollars for first, dollars in years if first <= day]
    if not held:
        return None
    whole = percent.to_integral_value()
    # 52 % of the median is the share of one person (45 CFR 96.85).
    cents = whole * held[-1] / 12 * (Decimal("0.52") if fact == INCOME[1] else 1)
    if takes is not None:
        cents = (cents / 100).to_integral_value("ROUND_CEILING") * 100
    elif fact == INCOME[1]:
        cents = (cents / 100).to_integral_value("ROUND_FLOOR") * 100
    return int(cents) + (percent > whole) - (percent < whole)


def of_the_report(facts: dict[str, Any], day: date, rule: Any) -> dict[str, Any]:
    """The same person as a records system would report: a birth date for an age, a presumption by its sign."""
    reported = dict(facts)
    if "countable_resources_usd" in reported:
        reported["countable_resources_cents"] = int(Decimal(reported.pop("countable_resources_usd")) * 100)
    # The draft has one limit for every household.
    reported["household_size"] = 1
    percents = {fact: reported.pop(fact) for fact in INCOME if fact in reported}
    if rule is not None and rule[0] in percents:
        cents = income(rule, Decimal(percents[rule[0]]), day)
        if cents is not None:
            reported["household_income_monthly_cents"] = cents
    if (age := reported.pop("age_years", None)) is not None:
        reported["birth_date"] = day.replace(year=day.year - age)
    if reported.pop("minor_presumed", None) or reported.get("is_minor"):
        reported["apparent_minor"] = True
    reported.pop("is_minor", None)
    return reported


def coherent(facts: dict[str, Any]) -> dict[str, Any]:
    """`is_minor` is never reported: it follows from the age, or is presumed."""
    known = dict(facts)
    minor = known.pop("is_minor", None)
    if minor and "age_years" not in known:
        known["minor_presumed"] = True
    return known


def test_no_condition_is_weaker_than_the_draft_unless_documented(law: Law) -> None:
    wider: dict[str, str] = {}
    stricter: dict[str, str] = {}
    settled: dict[str, set[int]] = defaultdict(set)
    labelled: set[str] = set()
    rules = {program["id"]: income_rule(program) for program in DRAFT["programs"]}
    for made_for, given, day in people():
        facts = coherent(given)
        known = draft.derived(DRAFT, facts, day)
        subject = person(of_the_report(facts, day, rules[made_for]), law)
        found = determine(subject, law, jurisdiction="MO", encounter_at=noon(day), as_of=noon(day))
        for program in DRAFT["programs"]:
            if not _held(program, known, day) or not _income_told(rules[program["id"]], rules[made_for], day):
                continue
            wanted = {False: 0, None: 1, True: 2}[draft.answer(program, known, day)]
            ours = found.answer(program["id"])
            got = RANK[ours.disputed.as_applied if ours.disputed else presuming(ours)]
            if ours.supply in ("unknown", "not_available"):
                got = min(got, {"unknown": 1, "not_available": 0}[ours.supply])
            settled[program["id"]].add(wanted)
            if got != wanted and ours.contradicted:
                # The draft lets one of two facts that exclude each other win; here nobody knows which is right.
                labelled.add(program["id"])
            elif got != wanted:
                (wider if got > wanted else stricter)[program["id"]] = f"{day}: {facts}"
    assert {i for i, seen in settled.items() if not {0, 2} <= seen} <= {"national_hotline_referral"}
    assert labelled, "somebody contradicts himself"
    documented = documented_differences()
    assert set(wider) == documented["wider"], wider
    assert set(stricter) == documented["stricter"], stricter


def _income_told(rule: Any, told: Any, day: date) -> bool:
    """The report's income is what the draft's percentage means here: same guideline, and one is held for that day."""
    return rule is None or (rule == told and income(rule, Decimal(100), day) is not None)


def _held(program: draft.Draft, known: dict[str, Any], day: date) -> bool:
    """The draft holds a rule for that day; what it says of earlier days is nothing."""
    chosen = known.get(program["version_key"], date.max) if "version_key" in program else day
    return chosen >= date.fromisoformat(program["rules"][0]["effective_from"])


def documented_differences() -> dict[str, set[str]]:
    """The table of docs/law.md: the programs whose condition is stricter, and wider. Every row has a source."""
    rows = re.findall(r"^\| (`[\w`, ]+`) \| (stricter|wider) \| (.+?) \| (.+?) \|$", DOCUMENT.read_text("utf-8"), re.M)
    assert all(source.strip() for _, _, _, source in rows)
    found: dict[str, set[str]] = {"stricter": set(), "wider": set()}
    for programs, kind, _, _ in rows:
        found[kind] |= set(re.findall(r"\w+", programs))
    return found


def test_all_56_programs_of_the_draft_are_in_with_what_they_give_and_ask_for(law: Law) -> None:
    ours = {program.spec.id: program.spec for program in law.programs}
    assert set(ours) == {program["id"] for program in DRAFT["programs"]}
    assert len(ours) == 56
    for program in DRAFT["programs"]:
        spec = ours[program["id"]]
        for same in ("level", "agency", "kind", "victim_status_min", "le_cooperation", "confidence"):
            assert american(getattr(spec, same)) == american(program[same]), (spec.id, same)
        assert list(spec.services) == program["services"]
        assert list(spec.tags) == program["tags"]
        assert american(spec.documents) == american([d for d in program["documents"] if d != "None"]), spec.id
        steps = {who: what for who, what in _steps(program).items() if what != "none"}
        assert american({w: what for w, what in spec.next_step.model_dump().items() if what}) == american(steps), (
            spec.id
        )
        asked = [f for unknown in program["common_unknowns"] for f in OURS.get(unknown, [unknown])]
        assert list(spec.common_unknowns) == asked, spec.id
        assert american(spec.time_limits) == american(program.get("time_limits")), spec.id
        supply = {leaf["fact"] for r in program["rules"] for leaf in draft.leaves(r["when"])}
        supply &= {"provider_in_area", "funds_available"}
        assert all(set(version.spec.supply) == supply for version in spec_versions(law, spec.id)), spec.id
        cited = {line for version in spec.versions for line in version.cite}
        assert cited >= set(program["citations"]) or spec.id in ("mohealthnet_kids", "snap"), spec.id


def _steps(program: draft.Draft) -> dict[str, str]:
    """The draft wrote its texts unquoted in flow style, where YAML takes a comma for the next key."""
    texts: dict[str, str] = {}
    for key, value in program["next_step"].items():
        if key in ("agency", "dss"):
            texts[key] = value
        else:
            last = next(reversed(texts))
            texts[last] = f"{texts[last]}, {key}"
    return texts


def american(text: Any) -> str:
    """Our spelling; the draft wrote British."""
    return str(list(text) if isinstance(text, tuple) else text).replace("programme", "program")


def spec_versions(law: Law, program_id: str) -> Any:
    (program,) = (p for p in law.programs if p.spec.id == program_id)
    return program.versions
