"""The trail, its head, and the continuity of its sources."""

from alembic import op

from kernel.events.schema import MESSAGING_V1

revision = "audit_0001"
down_revision = None
branch_labels = None
depends_on = None

TRAIL_V1 = (
    """
    CREATE TABLE entry (
        index bigint PRIMARY KEY,
        kind text NOT NULL,
        event_id uuid NOT NULL,
        type text NOT NULL,
        time timestamptz NOT NULL,
        encounter_id uuid,
        bus text NOT NULL,
        generation text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        "offset" bigint NOT NULL,
        content bytea NOT NULL,
        digest bytea NOT NULL,
        leaf_hash bytea NOT NULL,
        appended_at timestamptz NOT NULL,
        UNIQUE (bus, generation, topic, partition, "offset")
    )
    """,
    "CREATE INDEX entry_event ON entry (event_id)",
    "CREATE INDEX entry_encounter ON entry (encounter_id, index) WHERE encounter_id IS NOT NULL",
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the trail is append-only';
    END $$
    """,
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    # `told` counts entries that are not checkpoints; `checkpointed` is its value at the last checkpoint.
    """
    CREATE TABLE log_head (
        singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        size bigint NOT NULL DEFAULT 0,
        told bigint NOT NULL DEFAULT 0,
        checkpointed bigint NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO log_head DEFAULT VALUES",
    """
    CREATE TABLE continuity (
        source text NOT NULL,
        shard smallint NOT NULL,
        highest bigint NOT NULL,
        through bigint NOT NULL,
        missing text NOT NULL,
        missing_since timestamptz,
        published bigint NOT NULL DEFAULT -1,
        PRIMARY KEY (source, shard)
    )
    """,
)


def upgrade() -> None:
    for statement in (*TRAIL_V1, *MESSAGING_V1):
        op.execute(statement)
