"""A stored determination comes out as the same bytes under its own release, and under no other."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from rulebook.errors import LawError
from rulebook.loader import Law, load_law
from rulebook.programs import determine
from rulebook.release import archive, load_release
from rulebook.replay import replay
from tests.unit.rulebook.builders import ENCOUNTER, person, release_copy

AS_OF = datetime.fromisoformat("2026-11-22T12:00:00-06:00")
FACTS = person({"birth_date": "2009-03-01", "verified_by": "document"}, trafficking={"type": "sex"})


def stored(law: Law) -> bytes:
    return determine(FACTS, law, jurisdiction="MO", encounter_at=ENCOUNTER, as_of=AS_OF).canonical()


def test_the_bytes_are_the_same_after_the_law_has_changed(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    before = load_law(release)
    kept = stored(before)
    path = release / "programs" / "status_and_immigration.yaml"
    path.write_text(path.read_text("utf-8").replace("{from: 2007-10-17}", "{from: 2027-08-28}"), "utf-8")
    path = release / "release.yaml"
    path.write_text(path.read_text("utf-8").replace(before.version, "2099.1.0"), "utf-8")
    archive(release)
    assert stored(load_law(release)) != kept
    old = load_release(before.version, release)
    found = replay(json.loads(kept), FACTS, old, jurisdiction="MO", encounter_at=ENCOUNTER)
    assert (found.same, found.stored, found.replayed, found.differences) == (True, kept, kept, ())
    with pytest.raises(LawError, match="load the release it names"):
        replay(json.loads(kept), FACTS, load_law(release), jurisdiction="MO", encounter_at=ENCOUNTER)


def test_other_facts_are_noticed(law: Law) -> None:
    other = person({"birth_date": "1990-03-01", "verified_by": "document"})
    found = replay(json.loads(stored(law)), other, law, jurisdiction="MO", encounter_at=ENCOUNTER)
    assert not found.same
    assert "mohealthnet_kids: outcome differs" in found.differences
    assert found.stored != found.replayed


def test_a_program_that_was_struck_from_the_document_is_noticed(law: Law) -> None:
    document = json.loads(stored(law))
    document["programs"] = [answer for answer in document["programs"] if answer["program"] != "snap"]
    found = replay(document, FACTS, law, jurisdiction="MO", encounter_at=ENCOUNTER)
    assert found.differences == ("snap: is only in the replay",)
