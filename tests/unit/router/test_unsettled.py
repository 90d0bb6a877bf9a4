"""What would settle the reviews of one subject: by the timers that ran out, and by the law that decides next."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.facts import SubjectFacts
from kernel.sealing import Sealed
from rulebook.loader import Law, load_law
from rulebook.review import ReviewGaps
from services.router.application.ports import Snapshot
from services.router.application.rulings import rule, unsettled
from tests.unit.rulebook.builders import release_copy

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LAW: Law = load_law()
JUVENILE, HOTLINE = "MO.566_223.JJ", "MO.210_1500.HOTLINE"
SNAPSHOT = Snapshot(
    subject_id=UUID(int=1),
    subject_number=1,
    encounter_id=UUID(int=2),
    agency="MO0480100",
    jurisdiction="MO",
    record_version=1,
    encounter_at=NOW,
    discovered_at=NOW,
    key_id=UUID(int=3),
    sealed=Sealed(UUID(int=3), b"", {}),
    event_id=UUID(int=4),
    correlation_id=UUID(int=5),
    traceparent=None,
)


def unknown_age(county: str | None = None) -> SubjectFacts:
    location: dict[str, Any] = {"county_fips": county} if county else {}
    return SubjectFacts.model_validate(
        {
            "encounter": {"incident_number": "T-1", "location": location},
            "age": {},
            "circumstances": {"appears_victim": True, "trafficking": {"type": "sex"}},
        }
    )


def gaps(facts: SubjectFacts, reviews: dict[str, bool], law: Law = LAW) -> dict[str, ReviewGaps]:
    return unsettled(facts, SNAPSHOT, reviews, law=law, now=NOW)


def test_every_review_of_a_decision_has_something_that_would_settle_it() -> None:
    facts = unknown_age()
    decisions = rule(facts, SNAPSHOT, (), law=LAW, now=NOW)
    reviews = {one.duty_id: False for one in decisions if one.outcome == "review"}
    found = gaps(facts, reviews)
    assert set(found) == set(reviews)
    assert all(one.missing.to_settle for one in found.values())
    assert {(one.law_version, one.policy_version) for one in found.values()} == {(LAW.version, LAW.policy_version)}


def test_what_a_timer_presumed_is_not_asked_for_any_more_and_the_county_still_is() -> None:
    running, over = (gaps(unknown_age(), {JUVENILE: late})[JUVENILE] for late in (False, True))
    assert running.missing.to_settle
    assert running.county_missing
    assert over.missing.to_settle == ()
    assert over.question is None
    assert over.county_missing


def test_each_review_is_looked_at_with_its_own_timer() -> None:
    found = gaps(unknown_age(), {JUVENILE: True, HOTLINE: False})
    assert found[JUVENILE].missing.to_settle == ()
    assert ("age_years",) in found[HOTLINE].missing.to_settle
    assert not found[HOTLINE].county_missing
    found = gaps(unknown_age(), {JUVENILE: False, HOTLINE: True})
    assert ("age_years",) in found[JUVENILE].missing.to_settle
    assert HOTLINE not in found, "the next report finds it presumed"


def test_what_the_law_would_decide_now_needs_nothing_to_be_settled(tmp_path: Path) -> None:
    root = release_copy(tmp_path)
    file = root / "duties" / "us_mo_others.yaml"
    left = "{outcome: review, basis: [danger_or_age_unknown], review_after: juvenile_review_after}"
    decided = "{outcome: due, basis: [danger_or_age_unknown]}"
    before = file.read_text(encoding="utf-8")
    assert before.count(left) == 1
    file.write_text(before.replace(left, decided), encoding="utf-8")
    reviews = {"MO.210_145.SEE_CHILD": False, HOTLINE: False}
    assert set(gaps(unknown_age(), reviews)) == set(reviews)
    assert set(gaps(unknown_age(), reviews, load_law(root))) == {HOTLINE}
