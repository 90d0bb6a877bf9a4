"""What each migration does, pinned in `migrations.json`: once released, a migration never changes.

    python -m tests.released.migrations

adds the pins of new revisions, and never replaces one. While a revision of your own is not on main yet, take its line
out and run this again.
"""

import sys
from collections.abc import Mapping
from hashlib import sha256
from io import StringIO
from pathlib import Path

import orjson
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from kernel.migrations import Schema, config
from launcher.catalogue import schemas

PINS = Path(__file__).parent / "migrations.json"
COMMAND = "python -m tests.released.migrations"


def revisions(schema: Schema) -> list[Script]:
    """Every revision of a schema as alembic finds it, a revision before those that follow it."""
    return list(reversed([*ScriptDirectory.from_config(config(schema)).walk_revisions()]))


def sql(script: Script) -> str:
    """What a migration sends to the server, whatever modules its statements come from."""
    sent = StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": sent, "literal_binds": True}
    )
    with Operations.context(context):
        script.module.upgrade()
    return sent.getvalue()


def digests() -> dict[str, str]:
    """Every revision of the code at hand, with the digest of its SQL and of what it follows."""
    return {
        script.revision: sha256(f"after {script.down_revision}\n{sql(script)}".encode()).hexdigest()
        for schema in schemas()
        for script in revisions(schema)
    }


def load() -> dict[str, str]:
    """What is pinned."""
    pinned: dict[str, str] = orjson.loads(PINS.read_bytes())
    return pinned


def changed(pinned: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Pinned revisions that are not what they were, or are gone."""
    return sorted(revision for revision, digest in pinned.items() if found.get(revision) != digest)


def unpinned(pinned: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return sorted(found.keys() - pinned.keys())


def main(arguments: list[str]) -> int:
    found = digests()
    if arguments == ["--show"]:  # also of a release's code, see installation.py
        sys.stdout.buffer.write(orjson.dumps(found))
        return 0
    pinned = load() if PINS.exists() else {}
    if wrong := changed(pinned, found):
        sys.stderr.write(f"changed since they were pinned: {', '.join(wrong)}. Undo that, and write a new revision.\n")
        return 1
    PINS.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    sys.stdout.write(f"pinned: {', '.join(unpinned(pinned, found)) or 'nothing new'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
