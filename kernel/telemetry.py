"""What the processes say about themselves: log lines, metrics, trace context; none can hold a person's value.

Log lines pass an allow-list: a key that is not on it keeps its name and loses its value. Exceptions of libraries are
logged as type and place, because their messages quote what they choked on.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from secrets import randbits
from typing import Any, Literal, TextIO
from uuid import UUID

import orjson
import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from kernel.errors import FirstnoticeError

# --- Logs ---------------------------------------------------------------------------------------------------------

ALLOWED_KEYS = frozenset(
    (
        *("event", "level", "time", "component", "service", "trace", "error", "cause", "where", "method", "route"),
        *("status", "duration_ms", "client_id", "scope", "reason", "outcome", "state", "step", "kind", "name", "owner"),
        *("agency", "encounter_id", "subject_id", "event_id", "event_type", "causation_id", "correlation_id"),
        *("duty_id", "obligation_id", "notice_id", "recipient_id", "endpoint_id", "program_id", "revision", "priority"),
        *("bus", "topic", "partition", "group", "source", "shard", "sequence", "offset", "position", "next", "queue"),
        *("field_group", "key_id", "law_version", "policy_version", "version", "from_version", "to_version", "schema"),
        *("attempt", "attempts", "count", "total", "size", "bytes", "seconds", "delay_s", "lag_s", "age_s"),
        *("file", "host", "port", "pid", "signal", "task", "worker"),
    )
)
"""The only keys whose values are logged: random ids, names of our own things, counts and times."""

WITHHELD = "(withheld)"
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LONGEST = 200
_FRAMES = 6


class _Output:
    """Where lines go; `configure_logging` changes it for all loggers at once."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.threshold = _LEVELS["info"]
        self.console = False
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        with self._lock:
            # Looked up late: whoever replaces sys.stderr gets the lines.
            print(line, file=self.stream or sys.stderr, flush=True)

    debug = info = warning = error = critical = exception = msg = write


_output = _Output()


def configure_logging(
    level: str = "info", *, output: Literal["auto", "json", "console"] = "auto", stream: TextIO | None = None
) -> None:
    """One line per event on `stream` (standard error), and the same rules for what libraries log."""
    _output.stream = stream
    _output.threshold = _LEVELS[level]
    _output.console = output == "console" or (output == "auto" and (stream or sys.stderr).isatty())
    root = logging.getLogger()
    root.handlers = [_LibraryHandler()]
    # Libraries tell too much about themselves below this.
    root.setLevel(max(_output.threshold, logging.WARNING))


def logger(name: str) -> FilteringBoundLogger:
    """The logger of a module. Say what happened in a fixed sentence; put what varies into keyword arguments."""
    wrapped: FilteringBoundLogger = structlog.wrap_logger(
        _output,
        processors=[
            _filter_level,
            structlog.contextvars.merge_contextvars,
            _describe_exception,
            _withhold,
            _add_trace,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
        component=name,
    )
    return wrapped


def describe(error: BaseException) -> str:
    """An exception in words that quote nothing: ours as they are, others as type and place."""
    if isinstance(error, FirstnoticeError):
        return f"{type(error).__name__}: {error}"
    frames = _frames(error)
    return f"{type(error).__name__} at {frames[-1]}" if frames else type(error).__name__


class _LibraryHandler(logging.Handler):
    """Lines of libraries: the template without its arguments, because arguments may be anybody's values.

    A text that came without arguments may have been put together from values before: only its place is told.
    """

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower() if record.levelname.lower() in _LEVELS else "info"
        error = record.exc_info[1] if record.exc_info else None
        said = str(record.msg) if record.args else "a library has something to say"
        details: dict[str, Any] = {"exc_info": error} if error else {"where": [_place(record.pathname, record.lineno)]}
        getattr(logger(record.name), level)(said, **details)


def _filter_level(_: WrappedLogger, method: str, entry: EventDict) -> EventDict:
    level = "error" if method == "exception" else method
    if _LEVELS.get(level, 20) < _output.threshold:
        raise structlog.DropEvent
    entry["level"] = level
    return entry


def _describe_exception(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    given = entry.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()[1]
    elif isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        entry["error"] = describe(given)
        entry["where"] = _frames(given)
        if given.__cause__ is not None:
            entry["cause"] = describe(given.__cause__)
    elif isinstance(entry.get("error"), BaseException):
        entry["error"] = describe(entry["error"])
    return entry


def _frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
    return [f"{_place(frame.filename, frame.lineno)} {frame.name}" for frame in frames]


def _place(path: str, line: int | None) -> str:
    return f"{'/'.join(path.split('/')[-2:])}:{line}"


def _withhold(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    return {name: _harmless(value) if name in ALLOWED_KEYS else WITHHELD for name, value in entry.items()}


def _harmless(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | UUID | datetime):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[:_LONGEST] + "..."
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless(item) for item in list(value)[:20]]
    return type(value).__name__


def _add_trace(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        entry["trace"] = f"{span.trace_id:032x}-{span.span_id:016x}"
    return entry


def _render(_: WrappedLogger, __: str, entry: EventDict) -> str:
    entry["time"] = datetime.now(UTC)
    if not _output.console:
        return orjson.dumps(entry, default=str).decode()
    head = f"{entry.pop('time'):%H:%M:%S.%f}"[:-4] + f" {entry.pop('level'):<8}{entry.pop('event')}"
    return " ".join([head, *(f"{name}={value}" for name, value in entry.items())])


# --- Trace context ------------------------------------------------------------------------------------------------

_propagator = TraceContextTextMapPropagator()


@contextmanager
def tracing(traceparent: str | None) -> Iterator[str]:
    """Work that belongs to the trace of `traceparent` (W3C Trace Context), or to a new one when that is absent or
    malformed. Gives the id of this piece of work: trace and span, in hexadecimal.

    `tracestate` is not passed on: it is free text of strangers.
    """
    parent = trace.get_current_span(_propagator.extract({"traceparent": traceparent or ""})).get_span_context()
    span = trace.SpanContext(
        trace_id=parent.trace_id if parent.is_valid else randbits(127) + 1,
        span_id=randbits(63) + 1,
        is_remote=False,
        trace_flags=parent.trace_flags if parent.is_valid else trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span)))
    try:
        yield f"{span.trace_id:032x}-{span.span_id:016x}"
    finally:
        otel_context.detach(token)


def current_traceparent() -> str | None:
    """The `traceparent` to put on events and requests that the present work causes; none outside of a trace."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"


# --- Metrics ------------------------------------------------------------------------------------------------------

ALLOWED_LABELS = frozenset(
    (
        *("agency", "bus", "class", "client", "duty", "endpoint", "event", "group", "kind", "method", "outcome"),
        *("partition", "priority", "program", "reason", "recipient", "route", "service", "shard", "source", "state"),
        *("status", "topic", "type"),
    )
)
"""Labels have few values that we chose ourselves; an id or a person's value is neither."""

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _checked(name: str, labels: Sequence[str]) -> tuple[str, Sequence[str]]:
    strangers = set(labels) - ALLOWED_LABELS
    if strangers:
        raise ValueError(f"{name}: labels that telemetry.ALLOWED_LABELS does not name: {sorted(strangers)}")
    return f"firstnotice_{name}", labels


def counter(name: str, what: str, labels: Sequence[str] = ()) -> Counter:
    """A counter `firstnotice_<name>_total`; make it once, at the top of a module."""
    full_name, checked = _checked(name, labels)
    return Counter(full_name, what, checked)


def gauge(name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
    """A gauge `firstnotice_<name>`; make it once, at the top of a module."""
    full_name, checked = _checked(name, labels)
    return Gauge(full_name, what, checked)


def histogram(
    name: str, what: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_SECONDS
) -> Histogram:
    """A histogram `firstnotice_<name>`, by default of seconds; make it once, at the top of a module."""
    full_name, checked = _checked(name, labels)
    return Histogram(full_name, what, checked, buckets=tuple(buckets))


HOP_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0)
HOPS = histogram("hop_seconds", "Where the time goes: accept, publish, handle, send", ["service", "kind"], HOP_SECONDS)


def hop(service: str, kind: Literal["accept", "publish", "handle", "send"], since: float) -> None:
    """One piece of an event's way ended now: `since` is its beginning, in seconds since 1970.

    accept: from a report's arrival to its commit. publish: from an event's commit until its log has it (nothing where
    the log is in the same database). handle: from there until its effect is committed. send: from the issue of a notice
    to its first attempt.
    """
    HOPS.labels(service, kind).observe(max(0.0, time.time() - since))


def metrics_page() -> tuple[bytes, str]:
    """All metrics of this process in the Prometheus text format, and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
