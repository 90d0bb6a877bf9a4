"""Subjects, decisions, obligations, notices and their delivery."""

from alembic import op

from kernel.events.schema import MESSAGING_V1
from kernel.policy import APPLIED_POLICY_V1

revision = "router_0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    # The last facts of each subject, as sealed by intake: what a timer decides on again.
    """
    CREATE TABLE subject (
        subject_id uuid PRIMARY KEY,
        subject_number integer NOT NULL,
        encounter_id uuid NOT NULL,
        agency text,
        jurisdiction text NOT NULL,
        record_version integer NOT NULL,
        encounter_at timestamptz NOT NULL,
        discovered_at timestamptz NOT NULL,
        key_id uuid NOT NULL,
        sealed bytea NOT NULL,
        last_event_id uuid NOT NULL,
        correlation_id uuid NOT NULL,
        traceparent text,
        review_at timestamptz
    )
    """,
    "CREATE INDEX subject_encounter ON subject (encounter_id)",
    # When the first review of a subject runs out, whichever duty it is about.
    "CREATE INDEX subject_review ON subject (review_at) WHERE review_at IS NOT NULL",
    # Every decision on every duty with its reasons, for ever: one row holds those that were new or changed at one time.
    # Sealed, because the outcomes of most duties tell age, custody or conduct.
    """
    CREATE TABLE decision (
        subject_id uuid NOT NULL REFERENCES subject ON DELETE CASCADE,
        number integer NOT NULL,
        event_id uuid NOT NULL,
        decided_at timestamptz NOT NULL,
        law_version text NOT NULL,
        policy_version text NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (subject_id, number)
    )
    """,
    # What a person did. Sealed: which duty, and the reference.
    """
    CREATE TABLE completion (
        event_id uuid PRIMARY KEY,
        subject_id uuid NOT NULL REFERENCES subject ON DELETE CASCADE,
        completed_at timestamptz NOT NULL,
        sealed bytea NOT NULL
    )
    """,
    "CREATE INDEX completion_subject ON completion (subject_id)",
    # The duties that a notice fulfils, as they stand; whom a notice goes to shows what is in here.
    """
    CREATE TABLE obligation (
        obligation_id uuid PRIMARY KEY,
        encounter_id uuid NOT NULL,
        subject_id uuid NOT NULL REFERENCES subject ON DELETE CASCADE,
        duty_id text NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('due', 'not_due', 'review')),
        revision integer NOT NULL,
        recipient_role text NOT NULL,
        recipient_id text,
        owner text NOT NULL,
        clock text NOT NULL,
        due_at timestamptz,
        target_at timestamptz,
        review_at timestamptz,
        review_expired boolean NOT NULL,
        acknowledgement text NOT NULL,
        citations text NOT NULL,
        decided_by text NOT NULL,
        basis_tag bytea NOT NULL,
        met_at timestamptz,
        UNIQUE (subject_id, duty_id)
    )
    """,
    # What is told, once written never changed but for `live` and `replaced_by`. Wide rows: kept apart from the
    # narrow ones that every attempt updates.
    """
    CREATE TABLE notice (
        notice_id uuid PRIMARY KEY,
        obligation_id uuid NOT NULL REFERENCES obligation ON DELETE CASCADE,
        encounter_id uuid NOT NULL,
        subject_id uuid NOT NULL,
        duty_id text NOT NULL,
        recipient_id text NOT NULL,
        revision integer NOT NULL,
        kind text NOT NULL CHECK (kind IN ('notice', 'correction', 'withdrawal')),
        priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 3),
        due_at timestamptz,
        issued_at timestamptz NOT NULL,
        replaces uuid,
        replaced_by uuid,
        live boolean NOT NULL DEFAULT true,
        told_tag bytea NOT NULL,
        key_id uuid NOT NULL,
        sealed bytea NOT NULL,
        agency text,
        jurisdiction text NOT NULL,
        law_version text,
        policy_version text,
        correlation_id uuid NOT NULL,
        traceparent text
    )
    """,
    # Of all revisions for one recipient of one obligation, one counts.
    "CREATE UNIQUE INDEX notice_live ON notice (obligation_id, recipient_id) WHERE live",
    "CREATE INDEX notice_subject ON notice (subject_id)",
    # A lease is a next_attempt_at in the future with an owner; an owner who dies leaves work that becomes due again.
    """
    CREATE TABLE delivery (
        notice_id uuid PRIMARY KEY,
        recipient_id text NOT NULL,
        priority smallint NOT NULL,
        state text NOT NULL CHECK (state IN ('pending', 'held', 'confirmed', 'superseded')),
        attempts integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz NOT NULL,
        lease_owner uuid,
        attempt_started_at timestamptz,
        reached boolean NOT NULL DEFAULT false,
        confirmed_at timestamptz,
        reason text
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
    """,
    """
    CREATE INDEX delivery_due ON delivery (recipient_id, priority, next_attempt_at)
    WHERE state IN ('pending', 'held')
    """,
    # Workers that may hold leases; each holds an advisory lock while it lives.
    "CREATE TABLE courier_worker (worker uuid PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())",
    """
    CREATE TABLE attempt (
        notice_id uuid NOT NULL,
        attempt integer NOT NULL,
        started_at timestamptz NOT NULL,
        finished_at timestamptz NOT NULL,
        outcome text NOT NULL,
        http_status integer,
        error text,
        PRIMARY KEY (notice_id, attempt)
    )
    """,
    """
    CREATE TABLE acknowledgement (
        event_id uuid PRIMARY KEY,
        notice_id uuid NOT NULL REFERENCES notice ON DELETE CASCADE,
        status text NOT NULL,
        acknowledged_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        key_id uuid,
        sealed bytea,
        UNIQUE (notice_id, status)
    )
    """,
    """
    CREATE TABLE endpoint_in_use (
        recipient_id text PRIMARY KEY,
        fingerprint text NOT NULL,
        since timestamptz NOT NULL DEFAULT now()
    )
    """,
)


def upgrade() -> None:
    for statement in (*STATEMENTS, *MESSAGING_V1, APPLIED_POLICY_V1):
        op.execute(statement)
