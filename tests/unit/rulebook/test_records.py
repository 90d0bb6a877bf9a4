"""What is kept of a determination gives it back whole, and what a population could act upon is what each could."""

import random
from datetime import date, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import SubjectFacts
from rulebook.encoding import encode
from rulebook.errors import LawError
from rulebook.generated import engine
from rulebook.loader import LAW, load_law
from rulebook.population import Population, next_common_change
from rulebook.programs import determine, recall, record, records
from rulebook.records import answer_digest
from rulebook.rows import GROUPS, RowFormat
from rulebook.values import FactMap
from tests.support.properties import tried
from tests.unit.rulebook.people import PEOPLE

_LAW = load_law(LAW)
DAYS = st.dates(date(2021, 1, 1), date(2028, 1, 1))
NOON = "T12:00:00-06:00"
COUNTIES = ("29095", "20091", "01001", "00000", "\u0662\u0669\u0660\u0669\u0665", None)
"""The last one that is any has digits of another script."""


def kept(content: Any) -> Any:
    """As it is read back."""
    return orjson.loads(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))


def reported(dice: random.Random) -> SubjectFacts:
    """Somebody of whom a third of all facts is known, asked for or refused."""
    groups: dict[str, dict[str, Any]] = {"circumstances": {}, "status": {}}
    values: dict[str, list[Any]] = {
        "bool": [True, False],
        "int": [1, 30, "..4", -1, 10**30],
        "decimal": [0, "138.5", "0.1..", "99999999999999999999", "1e400", "1e999999999"],
        "date": ["2026-06-01", "1999-01-01", "2026-01-01..", "9999-12-31", "9999-01-01.."],
    }
    for fact, spec in _LAW.facts.items():
        if not spec.computed and spec.from_ is None and dice.random() < 1 / 3:
            listed: list[Any] = list(spec.values) or values[spec.type]
            group = "status" if spec.group == "status" else "circumstances"
            groups[group][fact] = dice.choice([*listed, "unknown", "refused"])
    groups["circumstances"]["state_of_residence"] = dice.choice(["MO", "other", "unknown", "KS"])
    fields: dict[str, Any] = {
        "custody": {"conduct_alleged_on": dice.choice(["2019-03-01", None]), "protective_custody": dice.random() < 0.5},
        "trafficking": {
            "force_fraud_coercion": dice.choice(["indicated", "unknown", None]),
            "victim_status": dice.choice(["suspected", "confirmed", None]),
            "severe_form_excluded": dice.choice([True, None]),
        },
        "residence_county_fips": dice.choice(
            ["29095", "20091", "01001", "00000", "\u0662\u0669\u0660\u0669\u0665", None]
        ),
        "screening": [
            {
                "protocol_id": protocol,
                "protocol_version": "1",
                "outcome": dice.choice(["negative", "possible", "clear"]),
            }
            for protocol in ("tvit-short", "qyit", "not-held")
            if dice.random() < 0.3
        ],
    }
    ages: list[dict[str, Any]] = [
        {},
        {"stated_years": 19},
        {"apparent_minor": True},
        {"birth_date": "2010-05-05", "verified_by": "document"},
        {"birth_date": "2008-02-29", "verified_by": "document"},
        {"birth_date": "2030-01-01", "years": 17, "verified_by": "ncic"},
        {"years": 17, "verified_by": "ncic"},
        {"birth_date": "2009-11-30", "stated_years": 18, "estimated_min": 15},
    ]
    return SubjectFacts.model_validate(
        {
            "age": dice.choice(ages),
            "circumstances": fields | {"appears_victim": dice.random() < 0.8, "facts": groups["circumstances"]},
            "status": {"citizenship": dice.choice(["us_citizen", "lpr", "unknown"]), "facts": groups["status"]},
        }
    )


@given(st.randoms(use_true_random=False), DAYS)
@tried(60)
def test_a_record_gives_the_whole_determination_back(dice: random.Random, day: date) -> None:
    facts, at = reported(dice), datetime.fromisoformat(f"{day}{NOON}")
    whole = determine(facts, _LAW, jurisdiction="MO", encounter_at=at, as_of=at)
    content = record(facts, _LAW, jurisdiction="MO", encounter_at=at, as_of=at).content()
    assert recall(kept(content), _LAW).to_json() == whole.to_json()


@given(st.lists(PEOPLE, min_size=1, max_size=6), DAYS)
@tried(60)
def test_in_columns_everybody_could_act_upon_the_same_as_alone(persons: list[FactMap], day: date) -> None:
    rows = Population(_LAW, "MO", day).answers(encode(persons, _LAW.facts))
    for row, person in enumerate(persons):
        known = dict(person)
        engine(_LAW).derive_certain(known, day)
        alone, _ = records(known, _LAW, "MO", day)
        assert rows[row].tobytes() == b"".join(one.digest for one in alone)


@given(st.lists(st.randoms(use_true_random=False), min_size=1, max_size=4), DAYS, st.integers(0, 900))
@tried(60)
def test_straight_from_sealed_groups_everybody_could_act_upon_the_same(
    dice: list[random.Random], day: date, later: int
) -> None:
    at = datetime.fromisoformat(f"{day}{NOON}")
    as_of = at + timedelta(days=later)
    people = [reported(one) for one in dice]
    form, kept_rows = RowFormat(_LAW), []
    for one in people:
        groups = {group.value: value for group, value in one.by_group().items()}
        kept_rows.append(form.row({name: groups[name] for name in GROUPS if name in groups}, day))
    rows = Population(_LAW, "MO", as_of.date()).answers(form.columns(kept_rows, as_of.date()))
    for row, one in enumerate(people):
        alone = record(one, _LAW, jurisdiction="MO", encounter_at=at, as_of=as_of)
        assert rows[row].tobytes() == alone.answers()


@given(st.randoms(use_true_random=False), DAYS)
@tried(60)
def test_what_changes_for_everybody_is_in_the_day_on_which_each_is_looked_at(dice: random.Random, day: date) -> None:
    at = datetime.fromisoformat(f"{day}{NOON}")
    found = record(reported(dice), _LAW, jurisdiction="MO", encounter_at=at, as_of=at).next_change_on
    common = next_common_change(_LAW, "MO", day)
    assert common is None or (found is not None and day < found <= common)


def test_a_record_of_another_release_or_form_is_not_guessed_at() -> None:
    at = datetime.fromisoformat(f"2026-11-22{NOON}")
    content = kept(record(SubjectFacts(), _LAW, jurisdiction="MO", encounter_at=at, as_of=at).content())
    for change in ({"law_digest": "0" * 64}, {"form": 2}):
        with pytest.raises(LawError):
            recall(content | change, _LAW)


def test_a_record_is_small() -> None:
    at = datetime.fromisoformat(f"2026-11-22{NOON}")
    people = [SubjectFacts(), *(reported(random.Random(seed)) for seed in range(50))]
    made = [record(one, _LAW, jurisdiction="MO", encounter_at=at, as_of=at).content() for one in people]
    assert max(len(orjson.dumps(one)) for one in made) < 10_000


PROGRAM = _LAW.programs[0].spec


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "eligible"},
        {"supply": "available"},
        {"missing": ()},
        {"program": PROGRAM.model_copy(update={"services": ("another",)})},
        {"program": PROGRAM.model_copy(update={"documents": (*PROGRAM.documents, "another")})},
        {"program": PROGRAM.model_copy(update={"next_step": PROGRAM.next_step.model_copy(update={"agency": "other"})})},
    ],
)
def test_what_somebody_would_do_otherwise_is_another_answer(change: dict[str, Any]) -> None:
    usual: dict[str, Any] = {
        "program": PROGRAM,
        "outcome": "potentially_eligible",
        "supply": "unknown",
        "missing": ("citizenship_status",),
    }
    assert answer_digest(**usual) != answer_digest(**(usual | change))


def test_other_papers_for_a_program_that_a_person_does_not_get_are_the_same_answer() -> None:
    other = PROGRAM.model_copy(update={"documents": (*PROGRAM.documents, "another"), "confidence": "low"})
    digests = {answer_digest(one, "not_eligible", "unknown", ()) for one in (PROGRAM, other)}
    assert len(digests) == 1
