"""Encounters, their subjects, answered requests, and what became of their notices."""

from alembic import op

from kernel.events.schema import MESSAGING_V1
from kernel.policy import APPLIED_POLICY_V1

revision = "intake_0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    # `incident` is a keyed hash of agency and incident number: found again, and not read.
    """
    CREATE TABLE encounter (
        id uuid PRIMARY KEY,
        agency text NOT NULL,
        jurisdiction text NOT NULL,
        incident bytea NOT NULL UNIQUE,
        correlation_id uuid NOT NULL,
        record_version integer NOT NULL,
        digest bytea NOT NULL,
        encounter_at timestamptz NOT NULL,
        discovered_at timestamptz,
        accepted_at timestamptz NOT NULL
    ) WITH (fillfactor = 90)
    """,
    # `sealed` is the snapshot of the facts, sealed for the event `event_id`; `digest` is keyed.
    """
    CREATE TABLE subject (
        id uuid PRIMARY KEY,
        encounter_id uuid NOT NULL REFERENCES encounter,
        number smallint NOT NULL,
        event_id uuid NOT NULL,
        record_version integer NOT NULL,
        digest bytea NOT NULL,
        sealed bytea NOT NULL,
        UNIQUE (encounter_id, number)
    )
    """,
    # `token` and `key` are keyed hashes of client and token id, client and Idempotency-Key.
    """
    CREATE TABLE request (
        token bytea PRIMARY KEY,
        key bytea UNIQUE,
        client_id text NOT NULL,
        token_id text NOT NULL,
        content bytea NOT NULL,
        encounter_id uuid NOT NULL,
        answer bytea NOT NULL,
        answered_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX request_answered_at ON request USING brin (answered_at)",
    # What a person did. `name` and `content` are keyed hashes: which duty it was tells age, custody or conduct.
    """
    CREATE TABLE task (
        name bytea PRIMARY KEY,
        content bytea NOT NULL,
        subject_id uuid NOT NULL REFERENCES subject,
        completed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE obligation_view (
        id uuid PRIMARY KEY,
        encounter_id uuid NOT NULL,
        subject_id uuid,
        duty_id text NOT NULL,
        outcome text NOT NULL,
        revision integer NOT NULL,
        recipient_role text NOT NULL,
        recipient_id text,
        owner text,
        clock text NOT NULL,
        due_at timestamptz,
        target_at timestamptz,
        review_at timestamptz,
        decided_at timestamptz NOT NULL,
        escalation integer NOT NULL DEFAULT 0,
        acknowledgement text,
        acknowledged_at timestamptz
    )
    """,
    "CREATE INDEX obligation_view_encounter ON obligation_view (encounter_id)",
    """
    CREATE TABLE notice_view (
        id uuid PRIMARY KEY,
        encounter_id uuid NOT NULL,
        obligation_id uuid NOT NULL,
        recipient_id text NOT NULL,
        kind text NOT NULL,
        revision integer NOT NULL,
        state text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        issued_at timestamptz NOT NULL,
        confirmed_at timestamptz,
        acknowledgement text,
        acknowledged_at timestamptz,
        replaced_by uuid
    )
    """,
    "CREATE INDEX notice_view_encounter ON notice_view (encounter_id)",
)


def upgrade() -> None:
    for statement in (*STATEMENTS, *MESSAGING_V1, APPLIED_POLICY_V1):
        op.execute(statement)
