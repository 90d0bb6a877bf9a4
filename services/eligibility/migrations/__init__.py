"""The schema `eligibility` and how it came to be what it is."""

from pathlib import Path

from kernel.migrations import Schema

SCHEMA = Schema("eligibility", Path(__file__).parent / "versions")
