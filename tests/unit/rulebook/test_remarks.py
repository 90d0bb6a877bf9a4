"""Words of the law go with an answer of the version that they stand beside, and are no part of what is kept."""

from datetime import datetime

import orjson

from rulebook.loader import Law
from rulebook.programs import determine, record
from rulebook.remarks import REMARKS, Remarks, remarks
from tests.unit.rulebook.builders import ENCOUNTER, person

AS_OF = datetime.fromisoformat("2026-11-22T12:00:00-06:00")


def remarked(law: Law, program_id: str, as_of: datetime = AS_OF, **circumstances: object) -> Remarks:
    facts = person(**circumstances)
    found = determine(facts, law, jurisdiction="MO", encounter_at=min(ENCOUNTER, as_of), as_of=as_of)
    (spec,) = (program.spec for program in law.programs if program.spec.id == program_id)
    return remarks(found.answer(program_id), spec, law)


def test_only_notes_of_the_version_that_was_applied_are_told(law: Law) -> None:
    status = {"facts": {"hhs_letter_date": "2026-08-20"}}
    assert remarked(law, "rma", status=status).version_notes == ()
    (note,) = remarked(law, "rma").version_notes
    assert note.startswith("Twelve months"), "which version applies is not known: its note may count"
    before = datetime.fromisoformat("1990-01-01T12:00:00-06:00")
    assert remarked(law, "snap", before).version_notes == ()


def test_what_stands_on_general_knowledge_is_not_verified_and_says_so(law: Law) -> None:
    for program in law.programs:
        one = remarked(law, program.spec.id)
        assert one.citation_verified is ("memory" not in program.spec.sources)
        assert one.found_in


def test_no_word_of_them_is_kept(law: Law) -> None:
    kept = record(person(), law, jurisdiction="MO", encounter_at=ENCOUNTER, as_of=AS_OF).content()
    document = orjson.loads(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS))
    assert not set(REMARKS) & {name for program in document["programs"].values() for name in program}
