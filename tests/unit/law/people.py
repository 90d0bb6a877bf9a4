"""Builds a reported person from a flat map of facts by catalog id, so that a case can be read like a file."""

from datetime import date, datetime
from typing import Any

from contracts.facts import SubjectFacts
from rulebook.loader import Law
from rulebook.programs import ProgramAnswer

_AGE = ("birth_date", "years", "verified_by", "estimated_min", "estimated_max", "stated_years", "apparent_minor")
COUNTY_OF = {"MO": "29095", "other": "20091"}


def noon(day: date | str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00-06:00")


def person(facts: dict[str, Any], law: Law) -> SubjectFacts:
    """Fields of `Age` and catalog facts in one map; `state_of_residence` and `county` become counties.

    A birth date counts as verified by a document, unless `verified_by` says otherwise.
    """
    given = {key: str(value) if isinstance(value, date) else value for key, value in facts.items()}
    age = {key: given.pop(key) for key in _AGE if key in given}
    if "birth_date" in age:
        age.setdefault("verified_by", "document")
    tree: dict[str, Any] = {"age": age, "circumstances": {"appears_victim": given.pop("appears_victim", True)}}
    if "county" in given:
        tree["encounter"] = {"incident_number": "A-1", "location": {"county_fips": given.pop("county")}}
    if "state_of_residence" in given:
        tree["circumstances"]["residence_county_fips"] = COUNTY_OF[given.pop("state_of_residence")]
    if "conduct_alleged_on" in given:
        _put(tree, ("circumstances", "custody", "conduct_alleged_on"), given.pop("conduct_alleged_on"))
    for fact, value in given.items():
        spec = law.facts[fact]
        group = "status" if spec.group == "status" else "circumstances"
        _put(tree, tuple(spec.from_.split(".")) if spec.from_ else (group, "facts", fact), value)
    return SubjectFacts.model_validate(tree)


def presuming(answer: ProgramAnswer) -> str:
    """The outcome if what the law presumes is so; presumptions may be told apart from what is known."""
    presumed = getattr(answer, "presumed", None)
    return str(answer.outcome if presumed is None else presumed.outcome)


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = value
