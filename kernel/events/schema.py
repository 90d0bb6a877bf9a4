"""Tables that carry events in and out of a service; each service has its own set, in its own schema.

What a released migration has executed never changes: each version adds to those before it.
"""

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

MESSAGING_V2: tuple[str, ...] = (
    # A published row stays in `outbox`, with its place in the log, until every group that must handle it has. A refused
    # one is larger than the log will ever take. `outbox_sent` is what 0.1.0 still writes, and goes in a later release.
    """
    ALTER TABLE outbox
        ADD COLUMN published_at timestamptz,
        ADD COLUMN generation text,
        ADD COLUMN partition integer,
        ADD COLUMN "offset" bigint,
        ADD COLUMN refused text
    """,
    "CREATE INDEX outbox_pending ON outbox (shard, topic, id) WHERE published_at IS NULL",
    """
    CREATE INDEX outbox_published ON outbox (topic, generation, partition, "offset") WHERE published_at IS NOT NULL
    """,
    "CREATE INDEX outbox_refused ON outbox (key, id) WHERE refused IS NOT NULL",
    # What was sent and is not in the trail yet is kept on, as sent to a log that nobody knows: it is sent once more.
    """
    INSERT INTO outbox (shard, sequence, topic, key, event_id, headers, value, published_at, generation, partition,
        "offset")
    SELECT sent.shard, sequence, topic, key, event_id, headers, value, now(), '', 0, 0
    FROM outbox_sent AS sent JOIN outbox_shard USING (shard) WHERE sequence > covered ORDER BY sent.shard, sequence
    """,
    # Where the present run of handled offsets without a hole began.
    "ALTER TABLE bus_offset ADD COLUMN since bigint NOT NULL DEFAULT 0",
    "CREATE INDEX inbox_handled_at ON inbox USING brin (handled_at)",
    # A record that is no event of ours blocks nobody; those behind another wait for it ('infinity').
    """
    ALTER TABLE parked
        ADD COLUMN generation text NOT NULL DEFAULT '',
        ADD COLUMN blocks boolean NOT NULL DEFAULT true,
        ADD COLUMN next_try_at timestamptz NOT NULL DEFAULT now()
    """,
    "CREATE INDEX parked_next_try ON parked (next_try_at)",
)

EMBEDDED_LOG_V2: tuple[str, ...] = (
    # The appender numbers events in the statement that stores them: what it learns there is beside the headers.
    "ALTER TABLE record ADD COLUMN shard smallint, ADD COLUMN sequence bigint",
)
