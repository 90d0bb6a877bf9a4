"""A bad release is refused whole, and the error says where and what to write instead."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from rulebook.errors import LawError
from rulebook.loader import Law, load_law
from tests.unit.rulebook.builders import decided, person, release_copy


def changed(release: Path, file: str, old: str, new: str) -> Path:
    path = release / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return release


MO = "duties/us_mo.yaml"
HEALTH = "programs/health.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            MO,
            "recipient_role: social_services",
            "recipient_roll: social_services",
            r"us_mo\.yaml, line \d+, at duties\.0",
        ),
        (
            MO,
            "acknowledgement: accepted",
            "acknowledgement: maybe",
            r"line \d+, at duties\.0\.acknowledgement: .*'done'",
        ),
        (MO, "recipient_role: social_services", "recipient_role: sheriff", "nobody fills the role sheriff"),
        (MO, "{policy: mo_social_services}", "{policy: nothing}", "there is no disclosure policy nothing"),
        (MO, "{policy: mo_social_services}", "{policy: us_hhs_rfa_part_a}", "is for another role"),
        (MO, "target: notice_target", "target: soon", "soon is not a duration"),
        (MO, "until: 2022-08-28", "until: 2022-08-27", "gap or overlap.*2022-08-28"),
        (MO, "{use: presumed_minor}", "{use: assumed_minor}", "MO.566_223.JJ: there is no block assumed_minor"),
        (
            MO,
            "{fact: appears_victim, is: false}",
            "{fact: appears_victim, is: false, default: true}",
            r"line 20, at .*rules\.0\.when\.default: is not a key",
        ),
        (MO, "jurisdiction: MO", "jurisdiction: KS", "KS is not in law/jurisdictions.yaml"),
        (MO, "id: MO.566_223.JJ", "id: MO.566_223.DSS", "defined twice"),
        (
            MO,
            'cite: ["s. 566.223 RSMo (notification paragraph, believed subsection 4)"]',
            "cite: []",
            "at least 1 item",
        ),
        (MO, "title: Notify the Dep", "title: [", "line 6.*correct the YAML"),
        (MO, "    priority: first", "    owner: nobody\n    priority: first", "key owner is written twice"),
        ("duties/us.yaml", "outcome: review", "outcome: not_due", "what is unknown is not a no"),
        ("duties/us.yaml", "kind: hours, limit: 24", "kind: hours", "need a limit"),
        ("release.yaml", "approver: Reviewing counsel", "approver: Law editor", "another person"),
        ("policy.yaml", "value: PT1H", "value: soon", "policy.yaml, line 4, .*must be a duration of at most P31D"),
        ("policy.yaml", "value: foreign_national", "value: nobody", "foreign_national, all_minors"),
        ("facts.yaml", "from: age.estimated_min", "from: age.guess", "there is no guess"),
        ("disclosure.yaml", "- encounter.reporting_unit", "- encounter.mood", "encounter.mood"),
        ("disclosure.yaml", "purpose: mo.purpose.566_223", "purpose: curiosity", "there is no text curiosity"),
        ("programs/health.yaml", "from: 2021-07-01, until", "from: 2027-07-01, until", "until must be later"),
        ("programs/health.yaml", "percent: 138,", "percent: 138.5,", r"health\.yaml, line \d+"),
        (
            "programs/trafficking_grants.yaml",
            "{use: adult}",
            "{fact: funds_available, is: true}",
            "from `when` to `supply`",
        ),
        ("programs/health.yaml", "sources: [", "sources: [HEARSAY, ", "there is no source HEARSAY"),
        ("directory/mo_circuits.csv", "29045", "2904", "line 2: write circuit, fips; fips is a code of five digits"),
        ("directory/recipients.yaml", "by_unit: mo_circuits", "by_unit: circuits", "there is no unit table circuits"),
        # What would raise later, when a notice is due.
        (
            "jurisdictions.yaml",
            "America/Chicago",
            "America/Chicag",
            r"line 10.*no time_zone America/Chicag; write an IANA",
        ),
        ("jurisdictions.yaml", "America/Chicago", "America", "there is no time_zone America; write an IANA name"),
        (
            "jurisdictions.yaml",
            "within: US",
            "within: UX",
            "line 8: MO: there is no jurisdiction UX; write one of CA",
        ),
        ("jurisdictions.yaml", "within: US", "within: MO", "MO: it is within itself; write one of CA"),
        ("jurisdictions.yaml", "name: United States", "name: U\n    within: MO", "line 5: US: it is within itself"),
        ("jurisdictions/ny.yaml", '"36"', '"29"', "another jurisdiction has state_fips 29"),
        (
            "policy.yaml",
            "value: PT1H",
            "value: -PT1H",
            "policy.yaml, line 4, .*value must be a duration of at most P31D",
        ),
        ("policy.yaml", "value: PT1H", "value: P100000Y", "must be a duration of at most P31D, such as PT1H"),
        ("duties/us.yaml", "kind: hours, limit: 24", "kind: hours, limit: 99999999999", "less than or equal to 1000"),
        ("calendars.yaml", "month: 7, day: 4", "month: 2, day: 30", "a day that the month has"),
        # Typos in closed vocabularies.
        (HEALTH, "services: [health_care", "services: [helth_care", r"services\.0: .*'health_care'"),
        (HEALTH, "kind: benefit", "kind: benifit", r"kind: .*'benefit'"),
        (
            "programs/health.yaml",
            "le_cooperation: not_required",
            "le_cooperation: no",
            "le_cooperation: .*'not_required'",
        ),
        (
            MO,
            "owner: agency_watch",
            "owner: agnecy_watch",
            "no owner agnecy_watch_commander; write one of agency",
        ),
        (
            MO,
            "when_flag: {needs_age_check",
            "when_flag: {needs_check",
            "no rule sets the flag needs_check; write",
        ),
        (
            "duties/us.yaml",
            "eq: foreign_national}",
            "eq: foreign}",
            "hhs24_scope is never foreign; write one of fo",
        ),
        # What the compiler refuses, on the line of the comparison.
        (
            "programs/health.yaml",
            "{fact: pregnant, is: false}",
            "{fact: pregnant, eq: 'no'}",
            r"health\.yaml, line \d+: \w+: pregnant is of type bool: write is: true",
        ),
        (
            "blocks.yaml",
            "not_in: [us_citizen,",
            "not_in: [us_citizn,",
            r"blocks\.yaml, line 3: block noncitizen_non_lpr: citizenship_status not_in: write one of us_citizen,",
        ),
        ("facts.yaml", "{one_of: [", "{one_of: [martian, ", r"facts\.yaml, line \d+: derivation of .*: write one of"),
        (
            "programs/health.yaml",
            "percent: 138,",
            "percent: '-1',",
            r"health\.yaml, line \d+: .*write percent as a whole",
        ),
        (
            "programs/refugee_type.yaml",
            "version_key: ",
            "version_key: not_",
            r"\.yaml, line 49: .*: version_key not_",
        ),
        ("disclosure.yaml", "- encounter.reporting_unit", "- encounter.mood", r"disclosure\.yaml, line \d+: .*no mood"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    with pytest.raises(LawError, match=message):
        load_law(changed(release_copy(tmp_path), file, old, new))


def test_blocks_that_use_one_another_in_a_circle_are_named(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    (release / "blocks").mkdir()
    circle = "blocks:\n  a: {all: [{use: b}]}\n  b: {any: [{use: c}]}\n  c: {not: {use: b}}\n"
    (release / "blocks" / "circle.yaml").write_text(circle, "utf-8")
    with pytest.raises(LawError) as refused:
        load_law(release)
    assert str(refused.value).splitlines() == [
        "blocks/circle.yaml, line 3: block b uses itself: b -> c -> b; write one of them out",
        "blocks/circle.yaml, line 4: block c uses itself: c -> b -> c; write one of them out",
    ]


def test_blocks_one_inside_the_other_without_end_are_named(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    (release / "blocks").mkdir()
    deep = "".join(f"  b{n}: {{not: {{use: b{n + 1}}}}}\n" for n in range(2000)) + "  b2000: {use: adult}\n"
    (release / "blocks" / "deep.yaml").write_text("blocks:\n" + deep, "utf-8")
    with pytest.raises(
        LawError, match=r"^blocks/deep\.yaml, line 2: block b0 is more than 8 blocks deep: b0 -> b1 -> "
    ):
        load_law(release)


def test_a_release_without_a_kind_of_file_is_refused(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    (release / "sources.yaml").unlink()
    with pytest.raises(LawError, match="has no sources"):
        load_law(release)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"review_timer": "PT5S"}, "write one of hhs24_scope, juvenile_review_after, notice_target"),
        ({"juvenile_review_after": "five"}, "write a duration"),
        ({"hhs24_scope": "nobody"}, "write a choice"),
    ],
)
def test_a_policy_that_does_not_exist_or_fit_is_refused(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(LawError, match=message):
        load_law(overrides=overrides)


@pytest.mark.parametrize(
    "change",
    [
        lambda release: changed(release, MO, "Notify the Department", "Tell the Department"),
        lambda release: changed(release, "directory/mo_circuits.csv", "2,Adair", "1,Adair"),
    ],
)
def test_the_digest_covers_the_whole_content(law: Law, tmp_path: Path, change: Callable[[Path], Path]) -> None:
    release = release_copy(tmp_path)
    assert load_law(release).digest == law.digest
    assert load_law(change(release)).digest != law.digest
    assert load_law(overrides={"juvenile_review_after": timedelta(seconds=5)}).digest != law.digest


def test_a_county_can_have_its_own_recipient_inside_a_circuit(tmp_path: Path) -> None:
    own = "overrides: [{county: '29095', recipient: mo-jo-16-east, effective: {from: 2026-01-01, until: 2026-10-11}}]"
    law = load_law(changed(release_copy(tmp_path), "directory/recipients.yaml", "overrides: []", own))
    assert (
        decided(law, person({"years": 15, "verified_by": "document"}))["MO.566_223.JJ"].recipient_id == "mo-jo-16-east"
    )
    assert law.directory.resolve("juvenile_justice", "MO", "29095", date(2026, 10, 11)) == "mo-jo-16"
    assert "mo-jo-16-east" in {recipient.id for recipient in law.directory.recipients(date(2026, 6, 1))}


def test_a_county_can_move_to_another_circuit_on_a_day(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    table = release / "directory" / "mo_circuits.csv"
    rows = table.read_text(encoding="utf-8").splitlines()
    rows = [rows[0] + ",effective_from,effective_until", *(row + ",," for row in rows[1:])]
    rows = [row.replace("38,Christian,29043,,", "38,Christian,29043,,2027-01-01") for row in rows]
    table.write_text("\n".join([*rows, "31,Christian,29043,2027-01-01,", ""]), encoding="utf-8")
    directory = load_law(release).directory
    assert directory.resolve("juvenile_justice", "MO", "29043", date(2026, 12, 31)) == "mo-jo-38"
    assert directory.resolve("juvenile_justice", "MO", "29043", date(2027, 1, 1)) == "mo-jo-31"


def test_a_rule_of_the_law_concludes_only_what_can_be_contradicted(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    facts = release / "facts.yaml"
    text = facts.read_text(encoding="utf-8")
    more = "  - when: {fact: pregnant, is: true}\n    then: {household_size: 2}\n"
    facts.write_text(text.rstrip() + "\n" + more, encoding="utf-8")
    with pytest.raises(LawError, match="conclude yes, no or members of an enumeration"):
        load_law(release)
