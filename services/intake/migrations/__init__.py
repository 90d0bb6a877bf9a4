"""The schema `intake`, and how it came to be."""

from pathlib import Path

from kernel.migrations import Schema

SCHEMA = Schema("intake", Path(__file__).parent / "versions")
