"""Whether a database is new enough for this code: asked by each service at its start, which alembic would slow down.

Releases of a rolling upgrade run side by side, so a database may be ahead of the code, and never behind it.
"""

import re
from collections.abc import Sequence
from typing import Any

from kernel.errors import ConfigurationError
from kernel.migrations.schema import Schema

_FILE = re.compile(r"(\d{4})_\w+\.py")


def revisions(schema: Schema) -> tuple[str, ...]:
    """The schema's revisions that this code knows, oldest first, read from their files' names.

    `0002_title.py` has the revision `<schema>_0002` and follows `<schema>_0001`: a test holds the files to it.
    """
    numbers = sorted(found[1] for path in schema.versions.iterdir() if (found := _FILE.fullmatch(path.name)))
    return tuple(f"{schema.name}_{number}" for number in numbers)


async def revision_of(driver: Any, schema: Schema) -> str | None:
    """The revision at which the database has this schema; none where nothing was migrated yet.

    `driver` is an asyncpg connection of a role that may read the schema. Raises what the driver raises.
    """
    table = f"{schema.name}.alembic_version"
    # No schema, no table and no row are one thing to us: "run migrate".
    if await driver.fetchval("SELECT to_regclass($1)", table) is None:
        return None
    revision: str | None = await driver.fetchval(f"SELECT version_num FROM {table}")
    return revision


def is_behind(found: str | None, known: Sequence[str]) -> bool:
    """Whether a database at revision `found` lacks what code that knows these revisions needs."""
    return found is None or found in known[:-1]


def is_ahead(found: str | None, known: Sequence[str]) -> bool:
    """Whether a newer release has migrated: its revision is none of ours. It took nothing away that we use."""
    return found is not None and found not in known


async def demand_version(driver: Any, schema: Schema) -> None:
    """Raises ConfigurationError when the database is behind this code; for a service before it does anything.

    `driver` as for `revision_of`, which says what else may be raised.
    """
    found, known = await revision_of(driver, schema), revisions(schema)
    if is_behind(found, known):
        raise ConfigurationError(
            f"the schema {schema.name} is at revision {found or 'none'}, this release needs {known[-1]}: "
            "run `firstnotice migrate`"
        )


__all__ = ["demand_version", "is_ahead", "is_behind", "revision_of", "revisions"]
