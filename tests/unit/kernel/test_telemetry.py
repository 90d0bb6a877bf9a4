"""What telemetry promises: it tells enough to act on, and cannot tell anything about a person."""

import io
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from kernel import telemetry
from kernel.errors import Unavailable

CANARY = "Zq7canary"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
log = telemetry.logger("kernel.test")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    telemetry.configure_logging("info", output="json", stream=stream)
    yield stream
    telemetry.configure_logging("info", output="json")


def last(lines: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = orjson.loads(lines.getvalue().splitlines()[-1])
    return line


def test_a_line_says_when_where_how_bad_and_what(lines: io.StringIO) -> None:
    event_id = uuid4()
    log.warning("an event was parked", event_id=event_id, attempt=3)
    line = last(lines)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "component": "kernel.test",
        "level": "warning",
        "event": "an event was parked",
        "event_id": str(event_id),
        "attempt": 3,
    }


def test_a_key_that_is_not_on_the_list_loses_its_value(lines: io.StringIO) -> None:
    log.info("taken", given_name=CANARY, body={"phone": CANARY}, reason={"given": CANARY}, name="x" * 500)
    line = last(lines)
    assert line["given_name"] == line["body"] == telemetry.WITHHELD
    assert line["reason"] == "dict"
    assert len(line["name"]) < 250
    assert CANARY not in lines.getvalue()


def test_exceptions_of_others_are_told_by_type_and_place_only(lines: io.StringIO) -> None:
    try:
        try:
            UUID(CANARY)
        except ValueError as error:
            raise RuntimeError(CANARY) from error
    except RuntimeError as error:
        log.exception("a loop failed")
        log.error("a loop failed", error=error)
    assert CANARY not in lines.getvalue()
    first = orjson.loads(lines.getvalue().splitlines()[0])
    assert first["error"].startswith("RuntimeError at kernel/test_telemetry.py:")
    assert first["cause"].startswith("ValueError at ")
    assert first["where"][-1].endswith("only")
    assert last(lines)["error"] == first["error"]


def test_exceptions_of_ours_are_told_in_their_own_words() -> None:
    assert telemetry.describe(Unavailable("the broker is away")) == "Unavailable: the broker is away"


def test_lines_of_libraries_come_without_their_arguments(lines: io.StringIO) -> None:
    library = logging.getLogger("somelibrary")
    library.error("cannot read %s", CANARY)
    assert last(lines)["event"] == "cannot read %s"
    try:
        raise ValueError(CANARY)
    except ValueError:
        library.exception("failed")
    assert last(lines)["error"].startswith("ValueError at ")
    library.warning(f"cannot read {CANARY}")
    assert last(lines)["where"][0].startswith("kernel/test_telemetry.py:")
    before = lines.getvalue()
    library.info("chatter")
    assert lines.getvalue() == before
    assert CANARY not in lines.getvalue()


def test_lines_below_the_level_are_not_written(lines: io.StringIO) -> None:
    log.debug("detail")
    assert lines.getvalue() == ""


def test_a_terminal_gets_readable_lines() -> None:
    stream = io.StringIO()
    telemetry.configure_logging(output="console", stream=stream)
    log.info("listening", port=8470)
    telemetry.configure_logging(output="json")
    assert stream.getvalue().rstrip().endswith("info    listening component=kernel.test port=8470")


def test_a_trace_goes_on_with_a_new_span(lines: io.StringIO) -> None:
    with telemetry.tracing(TRACEPARENT) as name:
        assert telemetry.current_traceparent() == f"00-{name}-01"
        assert name.split("-")[0] == TRACEPARENT.split("-")[1]
        assert name.split("-")[1] != TRACEPARENT.split("-")[2]
        log.info("request")
        assert last(lines)["trace"] == name
    assert telemetry.current_traceparent() is None


@pytest.mark.parametrize("given", [None, "", "x", f"00-{'0' * 32}-{'1' * 16}-01", "ff" + TRACEPARENT[2:], CANARY * 100])
def test_a_malformed_traceparent_starts_a_new_trace(given: str | None) -> None:
    with telemetry.tracing(given) as one, telemetry.tracing(given) as two:
        assert one.split("-")[0] != two.split("-")[0]
        assert CANARY not in one


def test_a_metric_takes_only_labels_that_cannot_name_a_person() -> None:
    with pytest.raises(ValueError, match="given_name"):
        telemetry.counter("x", "x", ("given_name",))


def test_metrics_are_exposed_under_our_name() -> None:
    made = telemetry.counter("unit_test_things", "Things of this test", ("kind",))
    made.labels("a").inc()
    page, media_type = telemetry.metrics_page()
    assert b'firstnotice_unit_test_things_total{kind="a"} 1.0' in page
    assert media_type.startswith("text/plain")
