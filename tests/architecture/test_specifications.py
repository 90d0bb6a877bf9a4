"""The published descriptions of our interfaces say what the code does."""

from contracts import asyncapi


def test_asyncapi_is_up_to_date() -> None:
    assert asyncapi.FILE.read_text() == asyncapi.text(), "run `make specs`"
