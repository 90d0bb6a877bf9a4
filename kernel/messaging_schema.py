"""Tables that carry events in and out of a service; each service has its own set, in its own schema."""

from contracts.envelope import SHARDS

MESSAGING_V1: tuple[str, ...] = (
    # Pending only: a row leaves when the bus has it, so the table stays small however old the system gets.
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        shard smallint NOT NULL,
        topic text NOT NULL,
        key uuid NOT NULL,
        event_id uuid NOT NULL,
        headers bytea NOT NULL,
        value bytea NOT NULL,
        sequence bigint,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000)
    """,
    # Published rows stay until a checkpoint of the trail covers them: what the broker loses is sent again.
    """
    CREATE TABLE outbox_sent (
        shard smallint NOT NULL,
        sequence bigint NOT NULL,
        topic text NOT NULL,
        key uuid NOT NULL,
        event_id uuid NOT NULL,
        headers bytea NOT NULL,
        value bytea NOT NULL,
        sent_on date NOT NULL DEFAULT current_date,
        PRIMARY KEY (shard, sequence, sent_on)
    ) PARTITION BY RANGE (sent_on)
    """,
    "CREATE TABLE outbox_sent_default PARTITION OF outbox_sent DEFAULT",
    # The next sequence number of each shard, and how far the trail has covered it.
    """
    CREATE TABLE outbox_shard (
        shard smallint PRIMARY KEY,
        next bigint NOT NULL DEFAULT 0,
        covered bigint NOT NULL DEFAULT -1
    )
    """,
    f"INSERT INTO outbox_shard (shard) SELECT generate_series(0, {SHARDS - 1})",
    """
    CREATE TABLE inbox (
        event_id uuid PRIMARY KEY,
        handled_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE bus_offset (
        bus text NOT NULL,
        generation text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        next bigint NOT NULL,
        PRIMARY KEY (bus, generation, topic, partition)
    )
    """,
    # Person facts in a parked record are sealed as they were on the bus; the reason names code, never a value.
    """
    CREATE TABLE parked (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key uuid NOT NULL,
        event_id uuid,
        topic text NOT NULL,
        partition integer NOT NULL,
        "offset" bigint NOT NULL,
        headers bytea NOT NULL,
        value bytea NOT NULL,
        reason text NOT NULL,
        tries integer NOT NULL DEFAULT 1,
        parked_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX parked_key ON parked (key, id)",
)

EMBEDDED_LOG_V1: tuple[str, ...] = (
    "CREATE TABLE log (id uuid PRIMARY KEY DEFAULT gen_random_uuid())",
    "INSERT INTO log DEFAULT VALUES",
    """
    CREATE TABLE partition (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic text NOT NULL,
        partition integer NOT NULL,
        next bigint NOT NULL DEFAULT 0,
        UNIQUE (topic, partition)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE record (
        partition_id integer NOT NULL,
        "offset" bigint NOT NULL,
        key uuid NOT NULL,
        headers bytea NOT NULL,
        value bytea NOT NULL,
        appended_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (partition_id, "offset")
    )
    """,
    """
    CREATE TABLE member (
        consumers text NOT NULL,
        member text NOT NULL,
        seen_at timestamptz NOT NULL,
        PRIMARY KEY (consumers, member)
    )
    """,
    # How far each group of consumers is, as it said last: what all have read may go, once it is old enough.
    """
    CREATE TABLE progress (
        consumers text NOT NULL,
        partition_id integer NOT NULL,
        next bigint NOT NULL,
        PRIMARY KEY (consumers, partition_id)
    ) WITH (fillfactor = 50)
    """,
    # Every service appends and reads; which topics it may write is settled by its code, as on a broker without ACLs.
    "GRANT USAGE ON SCHEMA bus TO fn_intake, fn_router, fn_eligibility, fn_audit",
    "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA bus TO fn_intake, fn_router, fn_eligibility, fn_audit",
    "GRANT DELETE ON member, record TO fn_intake, fn_router, fn_eligibility, fn_audit",
)
"""The embedded event log, in schema `bus`."""
