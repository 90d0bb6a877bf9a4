"""Persons, what was reported of them, and every evaluation."""

from alembic import op

from kernel.events.schema import MESSAGING_V1
from kernel.policy import APPLIED_POLICY_V1

revision = "eligibility_0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    # One row per encounter event and subject, as the event sealed it, without the groups that we may not open.
    # Never changed: an old determination can be worked out again from it.
    """
    CREATE TABLE subject_facts (
        event_id uuid PRIMARY KEY,
        subject_id uuid NOT NULL,
        encounter_id uuid NOT NULL,
        encounter_at timestamptz NOT NULL,
        accepted_at timestamptz NOT NULL,
        key_id uuid NOT NULL,
        commitment bytea NOT NULL,
        sealed bytea NOT NULL
    )
    """,
    "CREATE INDEX subject_facts_subject ON subject_facts (subject_id)",
    "ALTER TABLE subject_facts ALTER COLUMN sealed SET STORAGE EXTERNAL",
    # Every evaluation that an encounter event caused, and those of the calendar and of a release of the law that
    # changed an answer. `sealed` holds no words of the law: the release of law_version has them.
    """
    CREATE TABLE determination (
        determination_id uuid PRIMARY KEY,
        subject_id uuid NOT NULL,
        facts_id uuid NOT NULL REFERENCES subject_facts ON DELETE CASCADE,
        as_of timestamptz NOT NULL,
        law_version text NOT NULL,
        law_digest text NOT NULL,
        made_at timestamptz NOT NULL,
        published boolean NOT NULL,
        replaces uuid,
        sealed bytea NOT NULL
    )
    """,
    "CREATE INDEX determination_facts ON determination (facts_id)",
    "ALTER TABLE determination ALTER COLUMN sealed SET STORAGE EXTERNAL",
    # Where each subject stands now. look_again_on is no birthday: it tells the week; answers is keyed with the
    # subject's own key and tells nothing without it: see domain/determinations.py. fact_row is what rules read of the
    # facts once more, sealed in one piece, so that a re-run opens one part and reads one table for each person.
    """
    CREATE TABLE subject (
        subject_id uuid PRIMARY KEY,
        encounter_id uuid NOT NULL,
        agency text,
        jurisdiction text NOT NULL,
        correlation_id uuid NOT NULL,
        traceparent text,
        facts_id uuid NOT NULL REFERENCES subject_facts,
        determination_id uuid NOT NULL REFERENCES determination,
        published_id uuid NOT NULL REFERENCES determination,
        answers bytea NOT NULL,
        law_digest text NOT NULL,
        look_again_on date,
        fact_row bytea,
        retracted boolean NOT NULL DEFAULT false,
        part smallint NOT NULL GENERATED ALWAYS AS (get_byte(uuid_send(subject_id), 3) & 15) STORED
    )
    """,
    # Random bytes: trying to compress them costs, and gains nothing.
    "ALTER TABLE subject ALTER COLUMN fact_row SET STORAGE EXTERNAL",
    "CREATE INDEX subject_part ON subject (part, subject_id)",
    # One row for each part of the persons, by subject_id, and release: how far its evaluation of everybody has come.
    # Moved on in the transaction that stores the changes. `noted` orders releases as they came to apply here.
    """
    CREATE TABLE rerun (
        law_digest text NOT NULL,
        part smallint NOT NULL,
        noted bigint NOT NULL,
        law_version text NOT NULL,
        schedule bytea NOT NULL,
        cursor uuid,
        persons bigint NOT NULL DEFAULT 0,
        changed bigint NOT NULL DEFAULT 0,
        erased bigint NOT NULL DEFAULT 0,
        failed bigint NOT NULL DEFAULT 0,
        started_at timestamptz NOT NULL,
        finished_at timestamptz,
        PRIMARY KEY (law_digest, part)
    )
    """,
    "CREATE INDEX subject_encounter ON subject (encounter_id)",
    "CREATE INDEX subject_due ON subject (look_again_on) WHERE look_again_on IS NOT NULL AND NOT retracted",
)


def upgrade() -> None:
    for statement in (*TABLES, *MESSAGING_V1, APPLIED_POLICY_V1):
        op.execute(statement)
