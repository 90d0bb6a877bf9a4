"""Schema `audit`."""

from pathlib import Path

from kernel.migrations import Schema

SCHEMA = Schema("audit", Path(__file__).parent / "versions")
