"""Released migrations never change, and each schema's revisions form one line: databases went through them."""

from pathlib import Path

import orjson
import pytest

from kernel.migrations import Schema, version
from launcher.catalogue import schemas
from tests.released import migrations, release

COMMAND = f"`{migrations.COMMAND}`"


def test_a_pinned_migration_is_what_it_was() -> None:
    changed = migrations.changed(migrations.load(), migrations.digests())
    assert not changed, (
        f"{', '.join(changed)}: databases have been through this as it was. Undo the change, also one of a constant "
        "that the migration executes, and make a new revision"
    )


def test_every_migration_is_pinned() -> None:
    unpinned = migrations.unpinned(migrations.load(), migrations.digests())
    assert not unpinned, f"{', '.join(unpinned)}: run {COMMAND} and commit tests/released/migrations.json"


@pytest.mark.parametrize("kept", release.kept())
def test_the_pins_are_those_of_the_released_code(kept: str, tmp_path: Path) -> None:
    """So that nobody pins anew what changed: the release itself says what it executed."""
    released = orjson.loads(release.unpack(kept, tmp_path).digests())
    assert released
    assert migrations.changed(released, migrations.load()) == []


@pytest.mark.parametrize("schema", schemas(), ids=lambda schema: schema.name)
def test_the_revisions_of_a_schema_form_one_line_and_are_named_as_their_files(schema: Schema) -> None:
    """The start of a service reads them from the files' names."""
    line = migrations.revisions(schema)
    named = version.revisions(schema)
    assert [script.revision for script in line] == list(named), "0002_title.py holds the revision <schema>_0002"
    assert [script.down_revision for script in line] == [None, *named[:-1]], "each follows the one before"
    assert all(Path(script.path).name.startswith(script.revision.removeprefix(f"{schema.name}_")) for script in line)


def test_a_change_anywhere_in_a_migration_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    before = migrations.digests()
    scripts = migrations.revisions

    def edited(schema: Schema) -> list[migrations.Script]:
        found = scripts(schema)
        for script in found:
            if hasattr(script.module, "MESSAGING_V1"):
                monkeypatch.setattr(script.module, "MESSAGING_V1", (*script.module.MESSAGING_V1, "SELECT 1"))
        return found

    monkeypatch.setattr(migrations, "revisions", edited)
    changed = migrations.changed(before, migrations.digests())
    assert changed == ["audit_0001", "eligibility_0001", "intake_0001", "router_0001"]


def test_a_migration_that_is_gone_shows() -> None:
    assert migrations.changed({"intake_0001": "digest"}, {}) == ["intake_0001"]
