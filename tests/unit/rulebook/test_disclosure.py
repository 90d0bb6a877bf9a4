"""Need to know: a recipient gets exactly the fields its policy names."""

import json
from datetime import date
from typing import Any

import pytest

from contracts.facts import SubjectFacts
from rulebook.disclosure import disclose, parse_path
from rulebook.errors import LawError
from rulebook.loader import LAW, Law, load_law
from tests.unit.rulebook.builders import decided, person

EVERYTHING: dict[str, Any] = {
    "encounter": {
        "incident_number": "canary-incident",
        "kind": "canary-kind",
        "reporting_unit": "canary-unit",
        "officer_ref": "canary-officer",
        "location": {
            "county_fips": "29095",
            "address": "canary-place",
            "city": "canary-city",
            "postal_code": "64106",
            "latitude": 39.0997,
            "longitude": -94.5786,
            "place_type": "canary-place-type",
        },
    },
    "age": {
        "birth_date": "2009-08-07",
        "years": 101,
        "verified_by": "document",
        "estimated_min": 102,
        "estimated_max": 103,
        "stated_years": 104,
        "apparent_minor": True,
    },
    "circumstances": {
        "appears_victim": True,
        "role": "suspect_and_possible_victim",
        "trafficking": {
            "type": "sex",
            "force_fraud_coercion": "indicated",
            "severe_form_excluded": False,
            "victim_status": "presumed",
            "indicators": ["canary-indicator"],
            "offense_codes": ["canary-offense"],
            "force_or_threat_indicated": True,
        },
        "custody": {
            "protective_custody": True,
            "custody_for_offense": True,
            "conduct_alleged_on": "2024-05-06",
            "conduct_alleged_under_18": True,
        },
        "juvenile_court": {
            "under_jurisdiction": True,
            "committed_to_youth_services": True,
            "in_childrens_division_custody": True,
        },
        "needs": {
            "medical": True,
            "shelter": True,
            "safety": True,
            "food": True,
            "language": "kek",
            "interpreter": True,
            "suspected_trafficker_present": True,
        },
        "residence_county_fips": "29077",
        "screening": [{"protocol_id": "canary-screen", "protocol_version": "1", "outcome": "negative"}],
        "facts": {"pregnant": True, "substance_use_need": True},
    },
    "status": {
        "citizenship": "undocumented",
        "citizenship_verified": True,
        "facts": {"continued_presence": True},
    },
    "identity": {
        "given_name": "canary-given",
        "family_name": "canary-family",
        "aliases": ["canary-alias"],
        "sex": "X",
        "phone": "canary-phone",
        "address": "canary-home",
        "safe_at_home": False,
    },
    "narrative": "canary-narrative",
}
FACTS = SubjectFacts.model_validate(EVERYTHING)


def paths(tree: Any, prefix: str = "") -> set[str]:
    """Dotted paths of everything that is no mapping."""
    if not isinstance(tree, dict):
        return {prefix}
    return {path for key, value in tree.items() for path in paths(value, f"{prefix}.{key}" if prefix else key)}


def named(fields: tuple[str, ...]) -> set[str]:
    """What a policy's list of fields means, worked out apart from the code under test."""
    every = paths(EVERYTHING)
    return {p for f in fields for p in every if p == f or (f.endswith(".*") and p.startswith(f[:-1]))}


POLICIES = sorted(load_law(LAW).disclosure)


@pytest.mark.parametrize("policy_id", POLICIES)
def test_exactly_the_named_fields_are_told(law: Law, policy_id: str) -> None:
    fields = tuple(".".join(path) for path in law.disclosure[policy_id].paths)
    groups = tuple(f + ".*" for f in fields)
    assert paths(disclose(FACTS, policy_id, law)) == named(fields + groups)


@pytest.mark.parametrize("policy_id", POLICIES)
def test_no_value_of_another_field_leaks(law: Law, policy_id: str) -> None:
    told = disclose(FACTS, policy_id, law)
    text = json.dumps(told)
    for path in paths(EVERYTHING) - paths(told):
        value = EVERYTHING
        for step in path.split("."):
            value = value[step]
        if isinstance(value, str) and value.startswith("canary"):
            assert value not in text, path
    for never in ("canary-narrative", "canary-screen", "canary-indicator", "substance_use_need", "canary-officer"):
        assert never not in text


def test_citizenship_goes_to_hhs_alone(law: Law) -> None:
    tell = {policy_id for policy_id in POLICIES if "status" in disclose(FACTS, policy_id, law)}
    assert tell == {"us_hhs_rfa_part_a"}
    assert disclose(FACTS, "us_hhs_rfa_part_a", law)["status"] == {"citizenship": "undocumented"}


def test_without_a_policy_nothing_is_told(law: Law) -> None:
    assert disclose(FACTS, "no_such_policy", law) == {}


def test_the_minimal_notice_names_nobody(law: Law) -> None:
    decision = decided(law, person({"apparent_minor": True}))["MO.566_223.JJ"]
    told = disclose(FACTS, decision.disclosure, law, decision.flags)
    assert "identity" not in told
    assert told["flags"] == ["needs_age_check"]


def test_only_allowed_flags_are_told(law: Law) -> None:
    assert "flags" not in disclose(FACTS, "mo_social_services", law, ["estimated_adult"])


@pytest.mark.parametrize("policy_id", POLICIES)
def test_no_real_address_of_somebody_in_safe_at_home_leaves(law: Law, policy_id: str) -> None:
    enrolled = SubjectFacts.model_validate(EVERYTHING | {"identity": EVERYTHING["identity"] | {"safe_at_home": True}})
    told = disclose(enrolled, policy_id, law)
    text = json.dumps(told)
    for real in ("canary-place", "canary-city", "64106", "39.0997", "-94.5786"):
        assert real not in text
    assert told["encounter"]["location"] == {"county_fips": "29095"}


@pytest.mark.parametrize("field", ["age", "age.shoe_size", "identity.*.x", "", "status", "circumstances.needs"])
def test_a_policy_names_real_fields_one_by_one(field: str) -> None:
    with pytest.raises(LawError):
        parse_path(field)


def test_fields_of_the_open_map_can_be_named_one_by_one() -> None:
    assert parse_path("circumstances.facts.pregnant") == ("circumstances", "facts", "pregnant")
    assert parse_path("age.*") == ("age",)
    assert EVERYTHING["age"]["birth_date"] == str(date(2009, 8, 7))
