"""The router's schema: where its Alembic revisions are."""

from pathlib import Path

from kernel.migrations import Schema

SCHEMA = Schema("router", Path(__file__).parent / "versions")
