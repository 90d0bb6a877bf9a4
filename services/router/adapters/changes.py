"""What one round changes, as the parts of one statement: one part per table at most, two where a table needs it."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from services.router.adapters.composing import Part
from services.router.application.ports import Changes, NewNotice, NewRound, Snapshot
from services.router.domain.priorities import priority_number

_Columns = tuple[tuple[str, str], ...]

_SNAPSHOT: _Columns = (
    ("subject_id", "uuid"),
    ("subject_number", "integer"),
    ("encounter_id", "uuid"),
    ("agency", "text"),
    ("jurisdiction", "text"),
    ("record_version", "integer"),
    ("encounter_at", "timestamptz"),
    ("discovered_at", "timestamptz"),
    ("key_id", "uuid"),
    ("sealed", "bytea"),
    ("last_event_id", "uuid"),
    ("correlation_id", "uuid"),
    ("traceparent", "text"),
    ("review_at", "timestamptz"),
)

_ROUND: _Columns = (
    ("subject_id", "uuid"),
    ("number", "integer"),
    ("event_id", "uuid"),
    ("decided_at", "timestamptz"),
    ("law_version", "text"),
    ("policy_version", "text"),
    ("sealed", "bytea"),
)

_COMPLETION: _Columns = (
    ("event_id", "uuid"),
    ("subject_id", "uuid"),
    ("completed_at", "timestamptz"),
    ("sealed", "bytea"),
)

_OBLIGATION: _Columns = (
    ("obligation_id", "uuid"),
    ("encounter_id", "uuid"),
    ("subject_id", "uuid"),
    ("duty_id", "text"),
    ("outcome", "text"),
    ("revision", "integer"),
    ("recipient_role", "text"),
    ("recipient_id", "text"),
    ("owner", "text"),
    ("clock", "text"),
    ("due_at", "timestamptz"),
    ("target_at", "timestamptz"),
    ("review_at", "timestamptz"),
    ("review_expired", "boolean"),
    ("acknowledgement", "text"),
    ("decided_by", "text"),
    ("basis_tag", "bytea"),
    ("met_at", "timestamptz"),
    ("citations", "text"),
)
_own = attrgetter(*(name for name, _ in _OBLIGATION[:-1]))

_NOTICE: _Columns = (
    ("notice_id", "uuid"),
    ("obligation_id", "uuid"),
    ("encounter_id", "uuid"),
    ("subject_id", "uuid"),
    ("duty_id", "text"),
    ("recipient_id", "text"),
    ("revision", "integer"),
    ("kind", "text"),
    ("priority", "smallint"),
    ("due_at", "timestamptz"),
    ("issued_at", "timestamptz"),
    ("replaces", "uuid"),
    ("told_tag", "bytea"),
    ("key_id", "uuid"),
    ("sealed", "bytea"),
    ("agency", "text"),
    ("jurisdiction", "text"),
    ("law_version", "text"),
    ("policy_version", "text"),
    ("correlation_id", "uuid"),
    ("traceparent", "text"),
)


def _insert(table: str, columns: _Columns) -> str:
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"${n}::{kind}[]" for n, (_, kind) in enumerate(columns, 1))
    return f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"


def _upsert(table: str, columns: _Columns) -> str:
    """By the first column."""
    key, *others = (name for name, _ in columns)
    updates = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"{_insert(table, columns)} ON CONFLICT ({key}) DO UPDATE SET {updates}"


_SAVE_SNAPSHOTS = _upsert("subject", _SNAPSHOT)
_SAVE_ROUNDS = _insert("decision", _ROUND)
_SAVE_OBLIGATIONS = _upsert("obligation", _OBLIGATION)
_SAVE_COMPLETIONS = _insert("completion", _COMPLETION) + " ON CONFLICT DO NOTHING"
_INSERT_NOTICES = _insert("notice", _NOTICE)
# One notice is live per obligation and recipient, at every moment: the old ones go first.
_INSERT_AFTER_RETIRED = _INSERT_NOTICES + " WHERE (SELECT count(*) FROM retired) > 0"

_SET_TIMERS = """
    UPDATE subject SET review_at = news.review_at
    FROM unnest($1::uuid[], $2::timestamptz[]) AS news(subject_id, review_at)
    WHERE subject.subject_id = news.subject_id
"""

_MEET = """
    UPDATE obligation SET met_at = news.met_at
    FROM unnest($1::uuid[], $2::timestamptz[]) AS news(obligation_id, met_at)
    WHERE obligation.obligation_id = news.obligation_id AND obligation.met_at IS NULL
"""

_RETIRE = """
    UPDATE notice SET live = false, replaced_by = old.replaced_by
    FROM unnest($1::uuid[], $2::uuid[]) AS old(notice_id, replaced_by)
    WHERE notice.notice_id = old.notice_id
    RETURNING notice.notice_id
"""

# What is under way may still be confirmed; nothing is sent again.
_SUPERSEDE = """
    UPDATE delivery SET state = 'superseded' FROM retired
    WHERE delivery.notice_id = retired.notice_id AND state IN ('pending', 'held')
"""

_INSERT_DELIVERIES = """
    INSERT INTO delivery
        (notice_id, recipient_id, priority, state, attempts, next_attempt_at, lease_owner, attempt_started_at)
    SELECT notice_id, recipient_id, priority, 'pending', leased::integer,
        now() + make_interval(secs => CASE WHEN leased THEN $6::float8 ELSE 0 END),
        CASE WHEN leased THEN $5::uuid END, CASE WHEN leased THEN now() END
    FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::boolean[]) AS new(notice_id, recipient_id, priority, leased)
"""


def parts_of(changes: Changes, worker: UUID, lease: float) -> Iterator[Part]:
    """`worker` holds new notices that are born leased, for `lease` seconds."""
    timers = dict(changes.timers)
    if changes.snapshots:
        rows = [(*_snapshot_row(one), timers.pop(one.subject_id, None)) for one in changes.snapshots]
        yield Part("reported", _SAVE_SNAPSHOTS, _transposed(rows))
    if timers:
        # Of other subjects: those without new facts.
        yield Part("timed", _SET_TIMERS, (list(timers.keys()), list(timers.values())))
    if changes.rounds:
        yield Part("decided", _SAVE_ROUNDS, _transposed([_round_row(one) for one in changes.rounds]))
    if changes.obligations:
        owed = [(*_own(one), "\n".join(one.citations)) for one in changes.obligations]
        yield Part("owed", _SAVE_OBLIGATIONS, _transposed(owed))
    if changes.completions:
        done = [(one.event_id, one.subject_id, one.completed_at, one.sealed.encode()) for one in changes.completions]
        yield Part("completed", _SAVE_COMPLETIONS, _transposed(done))
    if changes.met:
        # Of subjects that were not decided in this round, so none of these is among the obligations above.
        yield Part("met", _MEET, _transposed(changes.met))
    if changes.retired:
        yield Part("retired", _RETIRE, _transposed([(one.notice_id, one.replaced_by) for one in changes.retired]))
        yield Part("superseded", _SUPERSEDE, ())
    if changes.notices:
        insert = _INSERT_AFTER_RETIRED if changes.retired else _INSERT_NOTICES
        yield Part("issued", insert, _transposed([_notice_row(one) for one in changes.notices]))
        new = [
            (one.issue.notice_id, one.issue.recipient_id, priority_number(one.issue.priority), one.leased)
            for one in changes.notices
        ]
        yield Part("to_deliver", _INSERT_DELIVERIES, (*_transposed(new), worker, lease))


def _snapshot_row(one: Snapshot) -> tuple[Any, ...]:
    """All but the timer."""
    return (
        one.subject_id,
        one.subject_number,
        one.encounter_id,
        one.agency,
        one.jurisdiction,
        one.record_version,
        one.encounter_at,
        one.discovered_at,
        one.key_id,
        one.sealed.encode(),
        one.event_id,
        one.correlation_id,
        one.traceparent,
    )


def _round_row(one: NewRound) -> tuple[Any, ...]:
    return (
        one.subject_id,
        one.number,
        one.round.event_id,
        one.round.decided_at,
        one.round.law_version,
        one.round.policy_version,
        one.round.sealed.encode(),
    )


def _notice_row(one: NewNotice) -> tuple[Any, ...]:
    return (
        one.issue.notice_id,
        one.origin.obligation_id,
        one.origin.encounter_id,
        one.origin.subject_id,
        one.origin.duty_id,
        one.issue.recipient_id,
        one.issue.revision,
        one.issue.kind,
        priority_number(one.issue.priority),
        one.due_at,
        one.issued_at,
        one.issue.replaces,
        one.told_tag,
        one.sealed.key_id,
        one.sealed.encode(),
        one.origin.agency,
        one.origin.jurisdiction,
        one.origin.law_version,
        one.origin.policy_version,
        one.origin.correlation_id,
        one.origin.traceparent,
    )


def _transposed(rows: Sequence[Sequence[Any]]) -> tuple[list[Any], ...]:
    """Columns, as unnest takes them."""
    return tuple(list(column) for column in zip(*rows, strict=True))
