"""Screening may raise how firmly somebody is regarded as a victim; it lowers nothing and cancels no duty.

And facts that may divert from prosecution are labeled for whoever decides, never decided.
"""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.facts import ScreeningResult, SubjectFacts
from rulebook.check import check
from rulebook.disclosure import disclose
from rulebook.duties import Decision, DutyFacts, decide
from rulebook.loader import LAW, Law
from rulebook.person import known_facts
from rulebook.problems import subject_problems
from rulebook.programs import determine
from rulebook.screening import Protocol, screened_status, screening_problems
from rulebook.values import Among, Value
from tests.unit.law.people import noon, person
from tests.unit.rulebook.builders import release_copy

DEFENSE, BAR = "may_support_defense_566_223_2", "bar_567_020_5_may_apply"


def decisions(law: Law, screening: tuple[dict[str, str], ...] = (), **facts: Any) -> dict[str, Decision]:
    subject = person(facts | {"county": "29095"}, law)
    assert subject.circumstances is not None
    results = tuple(ScreeningResult.model_validate(result) for result in screening)
    subject = subject.model_copy(
        update={"circumstances": subject.circumstances.model_copy(update={"screening": results})}
    )
    at = noon("2026-11-22")
    case = DutyFacts(subject=subject, encounter_at=at, discovered_at=at, as_of=at, jurisdiction="MO")
    return {decision.duty_id: decision for decision in decide(case, law, all_duties=True)}


@pytest.mark.parametrize("age", [{}, {"birth_date": "2010-01-01"}, {"birth_date": "1990-01-01"}])
@pytest.mark.parametrize("outcome", ["negative", "stopped"])
def test_a_negative_screen_never_cancels_a_duty(law: Law, outcome: str, age: dict[str, str]) -> None:
    results = tuple(
        {"protocol_id": protocol, "protocol_version": version, "outcome": outcome}
        for protocol, version in law.screening
    )
    assert decisions(law, results, **age) == decisions(law, **age)
    assert decisions(law, results, **age)["MO.566_223.DSS"].outcome == "due"


NEGATIVE_PEOPLE: list[dict[str, Any]] = [
    {},
    {"apparent_minor": True},
    {"birth_date": "2010-01-01", "victim_status": "confirmed", "trafficking_type": "sex"},
    {"birth_date": "1990-01-01", "victim_status": "suspected", "citizenship_status": "us_citizen"},
    {"appears_victim": False, "birth_date": "1990-01-01"},
]


@pytest.mark.parametrize("outcome", ["negative", "stopped"])
@pytest.mark.parametrize("facts", NEGATIVE_PEOPLE)
def test_a_negative_result_of_every_instrument_may_be_reported_and_changes_no_fact_duty_or_program(
    law: Law, facts: dict[str, Any], outcome: str
) -> None:
    at = noon("2026-11-22")
    without = person(facts, law)
    assert without.circumstances is not None
    told = [{"protocol_id": name, "protocol_version": version, "outcome": outcome} for name, version in law.screening]
    results = tuple(ScreeningResult.model_validate(result) for result in told)
    cited = without.model_copy(
        update={"circumstances": without.circumstances.model_copy(update={"screening": results})}
    )
    assert not list(subject_problems(cited, law, encounter_at=at, now=at))
    assert known_facts(cited, law, encounter_on=at.date(), as_of=at.date()) == known_facts(
        without, law, encounter_on=at.date(), as_of=at.date()
    )
    assert decisions(law, tuple(told), **facts) == decisions(law, **facts)
    with_it, alone = (
        determine(subject, law, jurisdiction="MO", encounter_at=at, as_of=at) for subject in (cited, without)
    )
    assert {answer.program_id: answer.outcome for answer in with_it.programs} == {
        answer.program_id: answer.outcome for answer in alone.programs
    }


def test_what_its_bands_leave_out_an_instrument_may_still_find_nothing() -> None:
    held = yaml.safe_load((LAW / "screening" / "instruments.yaml").read_text("utf-8"))["protocols"]
    (scored,) = (protocol for protocol in held if protocol["id"] == "qyit")
    scored["scoring"]["bands"] = [{"outcome": "possible", "at_least": 0}]
    assert Protocol.model_validate(scored).outcomes == ("negative", "possible", "stopped")


def test_no_outcome_lowers_a_status_and_none_confirms(law: Law) -> None:
    assert len(law.screening) == 8
    for (protocol, version), spec in law.screening.items():
        for outcome in ("negative", "possible", "clear", "stopped"):
            wanted = {"negative": "unchanged", "stopped": "unchanged", "possible": "suspected", "clear": "presumed"}
            assert screened_status([(protocol, version, outcome)], law.screening) == wanted[outcome]
        assert spec.verified or spec.note


def test_of_several_results_the_one_that_says_most_counts(law: Law) -> None:
    told = [("tvit-short", "1", "clear"), ("tvit-short", "1", "negative"), ("qyit", "1", "possible")]
    assert screened_status(told, law.screening) == "presumed"
    assert screened_status([("nobody's", "1", "clear")], law.screening) == "unchanged"
    assert screened_status([], law.screening) == "unchanged"


ALL = frozenset({"suspected", "presumed", "confirmed"})


@pytest.mark.parametrize(
    ("appears", "reported", "outcome", "wanted"),
    [
        (True, None, "negative", Among(ALL)),
        (True, None, "possible", Among(ALL)),
        (True, None, "clear", Among(ALL - {"suspected"})),
        (False, None, "negative", "none"),
        (False, None, "possible", Among(ALL | {"none"})),  # the officer and the screen contradict each other
        (True, "suspected", "clear", "presumed"),
        (True, "presumed", "possible", "presumed"),
        (True, "confirmed", "clear", "confirmed"),
        (True, "confirmed", "negative", "confirmed"),
    ],
)
def test_a_result_raises_what_is_known_and_never_lowers_it(
    law: Law, appears: bool, reported: str | None, outcome: str, wanted: Value
) -> None:
    circumstances = {
        "appears_victim": appears,
        "trafficking": {"victim_status": reported},
        "screening": [{"protocol_id": "field-indicators", "protocol_version": "1", "outcome": outcome}],
    }
    facts = SubjectFacts.model_validate({"circumstances": circumstances})
    day = date(2026, 11, 22)
    assert known_facts(facts, law, encounter_on=day, as_of=day)["victim_status"] == wanted


@pytest.mark.parametrize(
    ("cited", "on", "member", "what"),
    [
        (("quiz", "1", "possible"), "2026-11-22", "protocol_id", "write one of ahtst, cse-it,"),
        (("cse-it", "9", "possible"), "2026-11-22", "protocol_version", "write 2"),
        (("qyit", "1", "possible"), "2018-12-31", "protocol_version", "not in force on that day"),
        (
            ("qyit", "1", "clear"),
            "2026-11-22",
            "outcome",
            "write one of negative (nothing was found), possible (a poss",
        ),
        (("qyit", "1", "stopped"), "2026-11-22", None, ""),
        (("qyit", "1", "negative"), "2026-11-22", None, ""),
        (("ahtst", "1", "negative"), "2026-11-22", None, ""),
        (("mo-cd-ht", "1", "negative"), "2026-11-22", None, ""),
        (("mo-cd-ht", "1", "clear"), "2026-11-22", "outcome", "negative (nothing was found)"),
        (("tvit-short", "1", "clear"), "2026-11-22", None, ""),
    ],
)
def test_a_screening_cites_a_protocol_that_the_law_holds(
    law: Law, cited: tuple[str, str, str], on: str, member: str | None, what: str
) -> None:
    result = ScreeningResult.model_validate(
        dict(zip(("protocol_id", "protocol_version", "outcome"), cited, strict=True))
    )
    found = dict(screening_problems(result, law.screening, date.fromisoformat(on)))
    assert list(found) == ([member] if member else [])
    assert what in found.get(member or "", "")


def test_a_score_falls_into_its_band(law: Law) -> None:
    scoring = law.screening["qyit", "1"].scoring
    assert [scoring.outcome(score) for score in (0, 1, 4)] == ["negative", "possible", "possible"]
    assert law.screening["tvit-short", "1"].scoring.outcome(3) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("negative: unchanged", "negative: suspected", "never cancels anything"),
        ("clear: presumed", "clear: confirmed", "'presumed'"),
        ("bands: [{outcome: negative, at_least: 0}", "bands: [{outcome: negative, at_least: 2}", "begins at 0"),
        ("  - id: tvit-short", "  - id: ahtst", "ahtst@1 is defined twice"),
    ],
)
def test_a_wrong_protocol_is_found(tmp_path: Path, old: str, new: str, message: str) -> None:
    release = release_copy(tmp_path)
    path = release / "screening" / "instruments.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    found = check(release)
    assert any(message in finding and finding.startswith("screening/instruments.yaml, line ") for finding in found), (
        found
    )


def test_no_text_of_a_question_is_held() -> None:
    assert not {"questions", "items", "text"} & set(Protocol.model_fields)


@pytest.mark.parametrize(
    ("facts", "flags"),
    [
        ({"birth_date": "2010-01-01", "force_or_threat_indicated": True}, {DEFENSE}),
        ({"birth_date": "2010-01-01", "custody_under_prostitution_law": True}, {BAR}),
        ({"apparent_minor": True, "custody_under_prostitution_law": True}, {"needs_age_check", BAR}),
        ({"birth_date": "2000-01-01", "age_at_alleged_offence_under_18": True}, {BAR}),
        (
            {"birth_date": "2000-01-01", "age_at_alleged_offence_under_18": True, "force_or_threat_indicated": True},
            {BAR, DEFENSE},
        ),
        ({"birth_date": "2010-01-01", "force_or_threat_indicated": False}, set()),
        ({"birth_date": "2010-01-01"}, set()),
    ],
)
def test_facts_on_diversion_are_labeled_on_the_juvenile_notice(
    law: Law, facts: dict[str, Any], flags: set[str]
) -> None:
    decision = decisions(law, **facts)["MO.566_223.JJ"]
    assert decision.outcome == "due"
    assert set(decision.flags) == flags
    told = set(disclose(person(facts, law), decision.disclosure, law, decision.flags).get("flags", []))
    assert told == (flags if "needs_age_check" not in flags else {"needs_age_check"})
    assert all(f"flag.{flag}" in law.texts for flag in flags - {"needs_age_check"})


def test_nobody_but_the_juvenile_officer_is_told_of_diversion(law: Law) -> None:
    told = {name for name, policy in law.disclosure.items() if policy.flags & {DEFENSE, BAR}}
    assert told == {"mo_juvenile_justice"}
    (program_reading_it,) = ({leaf.fact for p in law.programs for v in p.versions for leaf in v.leaves},)
    assert "force_or_threat_indicated" not in program_reading_it
