"""The release under test."""

import pytest

from rulebook.loader import Law, load_law


@pytest.fixture(scope="session")
def law() -> Law:
    return load_law()
