"""What reports and amendments mean for a stored record, whatever they say."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import EncounterReport, FieldGroup
from kernel.errors import Conflict, Forbidden, Invalid
from rulebook.loader import load_law
from services.intake.application import accept, amend
from services.intake.application.accept import Report
from services.intake.application.amend import Amendment
from services.intake.domain.merge_patch import merge_patch
from services.intake.domain.record import Change, EncounterRecord, SubjectRecord

LAW = load_law()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AGENCY = "MOKPD0000"


def blind(label: str, value: str) -> bytes:
    return sha256(f"{label}\0{value}".encode()).digest()


def a_report(version: int = 1, at: datetime = NOW, unit: str = "u", **subjects: dict[str, Any]) -> Report:
    """Subjects as `s1={...}`: groups by name."""
    body = {
        "agency_ori": AGENCY,
        "encounter_at": at,
        "record_version": version,
        "encounter": {"incident_number": "26-1", "reporting_unit": unit},
        "subjects": [
            {"subject_number": int(name[1:]), "age": "unknown", "circumstances": {"appears_victim": True}, **groups}
            for name, groups in (subjects or {"s1": {}}).items()
        ],
    }
    return accept.prepare(
        EncounterReport.model_validate(body), blind, client_id="c", token_id="t", key=None, traceparent=None
    )


def stored(report: Report) -> EncounterRecord:
    """The record that a first report makes."""
    event = uuid4()
    return EncounterRecord(
        id=uuid4(),
        agency=report.agency,
        jurisdiction="MO",
        incident=report.incident,
        correlation_id=event,
        record_version=report.record_version,
        digest=report.digest,
        encounter_at=report.encounter_at,
        discovered_at=report.discovered_at,
        accepted_at=NOW,
        subjects=tuple(
            SubjectRecord(uuid4(), one.number, event, report.record_version, one.digest, one.groups)
            for one in report.subjects
        ),
    )


def applied(record: EncounterRecord, change: Change) -> EncounterRecord:
    """The record after a change, as the store would keep it."""
    subjects = {one.number: one for one in record.subjects}
    for changed in change.subjects:
        before = subjects.get(changed.number)
        subjects[changed.number] = SubjectRecord(
            before.id if before else uuid4(),
            changed.number,
            uuid4(),
            before.record_version if before else 0,
            before.digest if before else b"",
            changed.groups,
        )
    for number, said in change.said.items():
        one = subjects[number]
        subjects[number] = SubjectRecord(one.id, number, one.event_id, said.record_version, said.digest, one.groups)
    return EncounterRecord(
        record.id,
        record.agency,
        record.jurisdiction,
        record.incident,
        record.correlation_id,
        change.record_version,
        change.digest,
        change.encounter_at,
        change.discovered_at,
        NOW,
        tuple(subjects[number] for number in sorted(subjects)),
    )


ages = st.just("unknown") | st.fixed_dictionaries(
    {},
    optional={
        "years": st.integers(0, 120),
        "stated_years": st.integers(0, 120),
        "apparent_minor": st.booleans(),
        "estimated_min": st.integers(0, 40),
        "estimated_max": st.integers(41, 120),
    },
)
identities = st.fixed_dictionaries({}, optional={"given_name": st.sampled_from("AB"), "phone": st.sampled_from("12")})
subjects = st.fixed_dictionaries(
    {"age": ages}, optional={"identity": identities, "narrative": st.sampled_from(["x", "y"])}
)
reports = st.builds(
    lambda version, unit, found: a_report(version, NOW, unit, **{f"s{n}": groups for n, groups in found.items()}),
    st.integers(1, 4),
    st.sampled_from("uv"),
    st.dictionaries(st.integers(1, 3), subjects, min_size=1),
)


@given(reports)
def test_what_was_said_before_says_nothing_new(report: Report) -> None:
    record = stored(report)
    assert accept.says_nothing_new(record, report)
    assert accept.decide(record, report).subjects == ()


@given(reports, reports)
def test_a_report_that_was_taken_says_nothing_new_afterwards(first: Report, second: Report) -> None:
    record = stored(first)
    try:
        after = applied(record, accept.decide(record, second))
    except Conflict:
        return
    assert accept.decide(after, second).subjects == ()


@given(reports, st.lists(reports, max_size=4))
def test_no_report_loses_a_subject_or_a_group(first: Report, others: list[Report]) -> None:
    record = stored(first)
    for report in others:
        groups = {one.number: set(one.groups or ()) for one in record.subjects}
        try:
            record = applied(record, accept.decide(record, report))
        except Conflict:
            continue
        after = {one.number: set(one.groups or ()) for one in record.subjects}
        assert all(held <= after[number] for number, held in groups.items())
        assert {one.number for one in report.subjects} <= set(after)


@given(reports, reports)
def test_saying_nothing_new_is_never_claimed_of_a_change(first: Report, second: Report) -> None:
    record = stored(first)
    if accept.says_nothing_new(record, second):
        change = accept.decide(record, second)
        assert (change.subjects, change.record_version) == ((), record.record_version)


@given(reports, reports)
def test_every_subject_has_the_facts_of_the_encounter(first: Report, second: Report) -> None:
    record = stored(first)
    try:
        after = applied(record, accept.decide(record, second))
    except Conflict:
        return
    shared = [one.groups[FieldGroup.ENCOUNTER] for one in after.subjects if one.groups]
    assert all(one == shared[0] for one in shared)


def test_equal_version_and_other_content_is_a_conflict_that_names_the_parts() -> None:
    record = stored(a_report(1, s1={}, s2={}))
    with pytest.raises(Conflict) as refused:
        accept.decide(record, a_report(1, unit="v", s1={}, s2={"narrative": "n"}, s3={}))
    assert [error.pointer for error in refused.value.errors] == ["/encounter", "/subjects/1"]


def test_a_changed_time_is_told_for_every_subject() -> None:
    record = stored(a_report(1, s1={}, s2={}))
    change = accept.decide(record, a_report(2, NOW - timedelta(hours=1), s1={}))
    assert [(one.number, one.changed) for one in change.subjects] == [(1, ()), (2, ())]


def test_a_report_for_another_agency_is_forbidden() -> None:
    report = EncounterReport.model_validate(
        {
            "agency_ori": AGENCY,
            "encounter_at": NOW,
            "encounter": {"incident_number": "1"},
            "subjects": [{"subject_number": 1, "age": "unknown", "circumstances": {"appears_victim": True}}],
        }
    )
    accept.check_report(report, frozenset({AGENCY}), NOW, LAW)
    with pytest.raises(Forbidden):
        accept.check_report(report, frozenset({"MO0490100"}), NOW, LAW)


patches = st.fixed_dictionaries(
    {},
    optional={
        "years": st.none() | st.integers(0, 120),
        "apparent_minor": st.none() | st.booleans(),
        "stated_years": st.none() | st.integers(0, 120),
    },
)


def amended(record: EncounterRecord, body: dict[str, Any]) -> EncounterRecord:
    return applied(record, amend.decide(record, Amendment.model_validate(body), NOW, LAW, blind))


@given(reports, patches, st.none() | st.sampled_from(["n", "m"]))
def test_an_amendment_is_a_merge_patch_of_each_group(report: Report, patch: dict[str, Any], narrative: Any) -> None:
    record = stored(report)
    subject = record.subjects[0]
    assert subject.groups is not None
    number = subject.number
    body = {"subjects": [{"subject_number": number, "age": patch, "narrative": narrative}]}
    changed = amended(record, body).subject(number)
    assert changed is not None
    after = changed.groups
    assert after is not None
    assert after[FieldGroup.AGE] == merge_patch(subject.groups[FieldGroup.AGE], patch)
    assert after.get(FieldGroup.NARRATIVE) == narrative
    untouched = set(subject.groups) - {FieldGroup.AGE, FieldGroup.NARRATIVE}
    assert {group: after[group] for group in untouched} == {group: subject.groups[group] for group in untouched}


@given(reports, patches)
def test_the_same_amendment_again_changes_nothing(report: Report, patch: dict[str, Any]) -> None:
    record = stored(report)
    body = {"subjects": [{"subject_number": record.subjects[0].number, "age": patch}]}
    once = amended(record, body)
    assert amend.decide(once, Amendment.model_validate(body), NOW, LAW, blind).subjects == ()


SCREENED = {"protocol_id": "withdrawn", "protocol_version": "1", "outcome": "possible"}


def test_an_amendment_answers_only_for_what_it_says() -> None:
    """What was accepted under earlier checks stays, and does not stand in the way of what is learnt now."""
    odd = {"appears_victim": True, "screening": [SCREENED], "facts": {"household_size": -1, "no.such/fact": 1}}
    record = stored(a_report(s1={"circumstances": odd}))
    told = {"needs": {"food": True}, "facts": {"pregnant": False}}
    after = amended(record, {"subjects": [{"subject_number": 1, "circumstances": told}]}).subjects[0].groups
    assert after is not None
    assert after[FieldGroup.CIRCUMSTANCES] == merge_patch(odd, told)


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"screening": [SCREENED]}, "/screening/0/protocol_id"),
        ({"facts": {"household_size": -1}}, "/facts/household_size"),
        ({"facts": {"no.such/fact": 1}}, "/facts/no.such~1fact"),
    ],
)
def test_what_an_amendment_says_is_checked_as_in_a_report(said: dict[str, Any], pointer: str) -> None:
    body = {"subjects": [{"subject_number": 1, "circumstances": said}]}
    with pytest.raises(Invalid) as refused:
        amended(stored(a_report(s1={})), body)
    assert [error.pointer for error in refused.value.errors] == [f"/subjects/0/circumstances{pointer}"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_whatever_an_amendment_holds_it_is_taken_or_refused_by_name(patch: Any) -> None:
    record = stored(a_report(s1={}))
    body = {"encounter": {"location": patch}, "subjects": [{"subject_number": 1, "circumstances": {"facts": patch}}]}
    try:
        amended(record, body)
        errors = None
    except Invalid as refused:
        errors = [error.pointer for error in refused.errors]
    assert errors is None or (errors and all(one.startswith(("/encounter", "/subjects/0")) for one in errors))


def test_the_content_of_an_amendment_is_bound_to_its_encounter_and_its_nulls() -> None:
    one, other = UUID(int=1), UUID(int=2)
    gone = Amendment.model_validate({"discovered_at": None})
    digests = {
        amend.content_digest(blind, one, gone),
        amend.content_digest(blind, other, gone),
        amend.content_digest(blind, one, Amendment()),
        amend.content_digest(blind, one, Amendment.model_validate({"discovered_at": NOW})),
    }
    assert len(digests) == 4
