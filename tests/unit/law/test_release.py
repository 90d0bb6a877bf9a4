"""The release that ships: complete, cited, and true to what it was drafted from."""

from datetime import date

import pytest

from rulebook.loader import Law

TODAY = date(2026, 11, 22)
SERVICES = {
    "case_management",
    "emergency_temporary_housing",
    "health_care",
    "mental_health_counseling",
    "substance_use_screening_treatment",
    "language_interpretation_translation",
    "english_language_instruction",
    "job_training",
    "placement_assistance",
}


def counties(law: Law) -> list[str]:
    possible = (f"29{number:03}" for number in range(1000))
    return [county for county in possible if law.directory.resolve("juvenile_justice", "MO", county, TODAY)]


def test_each_of_114_counties_and_the_city_has_a_juvenile_officer(law: Law) -> None:
    assert len(counties(law)) == 115
    officers = {r.id for r in law.directory.recipients(TODAY) if r.role == "juvenile_justice"}
    assert officers == {f"mo-jo-{circuit}" for circuit in range(1, 47)}


@pytest.mark.parametrize(
    ("county", "recipient"),
    [
        ("29510", "mo-jo-22"),  # City of St. Louis
        ("29189", "mo-jo-21"),  # St. Louis County
        ("29186", "mo-jo-24"),  # Ste. Genevieve, out of alphabetical step
        ("29095", "mo-jo-16"),  # Kansas City spans four circuits
        ("29047", "mo-jo-7"),
        ("29165", "mo-jo-6"),
        ("29037", "mo-jo-17"),
        ("29043", "mo-jo-38"),  # the 38th was split
        ("29213", "mo-jo-46"),
    ],
)
def test_counties_that_are_easily_confused_go_to_the_right_circuit(law: Law, county: str, recipient: str) -> None:
    assert law.directory.resolve("juvenile_justice", "MO", county, TODAY) == recipient


def test_every_recipient_of_a_duty_is_told_by_a_policy_that_cites_its_source(law: Law) -> None:
    for told in (duty.spec.disclosure for duty in law.duties if duty.spec.disclosure is not None):
        policy = law.disclosure[told.policy]
        assert policy.citations
        assert policy.purpose in law.texts
        assert policy.redisclosure in law.texts


def test_every_version_cites_and_every_service_is_one_of_the_nine(law: Law) -> None:
    assert len(law.programs) == 56
    for program in law.programs:
        assert all(version.spec.cite for version in program.versions)
        assert set(program.spec.services) <= SERVICES
        assert program.spec.sources


def test_contract_services_under_566_223_need_a_confirmed_victim(law: Law) -> None:
    (program,) = (p for p in law.programs if p.spec.id == "mo_566_223_contracts")
    assert program.spec.victim_status_min == "confirmed"
    assert set(program.spec.services) == SERVICES
    assert set(program.versions[0].spec.supply) == {"funds_available", "provider_in_area"}


@pytest.mark.parametrize(
    ("program_id", "changes"),
    [
        ("snap", ["2025-07-04", "2025-10-31", "2025-12-09"]),  # the last two: a dispute and its end
        ("rca", ["2025-05-05"]),
        ("rma", ["2025-05-05"]),
        ("mohealthnet_adult_expansion", ["2026-10-01", "2027-01-01"]),
        ("mohealthnet_kids", ["2026-10-01"]),
        ("mo_chip", ["2026-10-01"]),
        ("mohealthnet_pregnant", ["2026-10-01"]),
        ("mohealthnet_former_foster", ["2026-10-01"]),
        ("aca_marketplace", ["2027-01-01"]),
        ("mo_temporary_assistance", []),
    ],
)
def test_each_dated_change_of_the_law_is_a_version(law: Law, program_id: str, changes: list[str]) -> None:
    (program,) = (p for p in law.programs if p.spec.id == program_id)
    assert [str(version.spec.effective.from_) for version in program.versions[1:]] == changes


def test_each_version_that_public_law_119_21_changed_cites_it(law: Law) -> None:
    medical = ("mohealthnet_adult_expansion", "mohealthnet_kids", "mo_chip", "mohealthnet_pregnant")
    for program in (p for p in law.programs if p.spec.id in (*medical, "mohealthnet_former_foster")):
        changed = [v.spec for v in program.versions if v.spec.effective.from_ >= date(2026, 10, 1)]
        assert changed, program.spec.id
        for version in changed:
            assert any("P.L. 119-21 s.71109" in line for line in version.cite), program.spec.id


def test_the_disputes_before_the_courts_are_held_with_both_readings(law: Law) -> None:
    held = {
        (program.spec.id, str(version.spec.effective.from_), str(version.spec.effective.until))
        for program in law.programs
        for version in program.versions
        if version.spec.dispute is not None
    }
    assert held == {("snap", "2025-10-31", "2025-12-09"), ("dese_ael", "2025-07-11", "None")}


def test_immigration_facts_are_a_group_of_their_own_and_highly_sensitive(law: Law) -> None:
    for fact in ("citizenship_status", "t_visa_status", "continued_presence", "hhs_letter_date", "work_authorized"):
        assert (law.facts[fact].group, law.facts[fact].sensitivity) == ("status", "high")


def test_every_fact_that_a_condition_reads_can_be_known(law: Law) -> None:
    read = {leaf.fact for program in law.programs for version in program.versions for leaf in version.leaves}
    assert read <= set(law.facts)
    for fact in read:
        spec = law.facts[fact]
        assert spec.ask or spec.from_ or not spec.computed or fact in ("age_years", "state_of_residence")
