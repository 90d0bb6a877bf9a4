"""Another state's duty is only data: New York's Social Services Law 483-cc, added to a release."""

import shutil
from pathlib import Path

from rulebook.loader import load_law
from tests.unit.rulebook.builders import decided, person, release_copy

NEW_YORK = Path(__file__).parent / "new_york"


def test_a_duty_of_new_york_loads_and_decides(tmp_path: Path) -> None:
    release = release_copy(tmp_path)
    shutil.copytree(NEW_YORK, release, dirs_exist_ok=True)
    law = load_law(release)

    here = decided(law, person({"years": 30, "verified_by": "document"}, county="36061"), jurisdiction="NY")
    assert {duty: (d.outcome, d.recipient_id) for duty, d in here.items()} == {
        "NY.483_CC.OTDA": ("due", "ny-otda"),
        "NY.483_CC.DCJS": ("due", "ny-dcjs"),
        "US.7105.HHS24": ("not_due", None),
    }
    assert here["NY.483_CC.OTDA"].citations == ("N.Y. Soc. Serv. Law s. 483-cc",)
    assert set(decided(law, person({}))) == {"MO.566_223.DSS", "MO.566_223.JJ", "US.7105.HHS24"}
