"""What is on record about the duties of one encounter, for reading."""

from uuid import UUID

from kernel.database import Transaction
from kernel.sealing import Sealed
from services.router.adapters.rows import grouped, round_of, snapshot_of
from services.router.application.ports import Completion, Stored, Told


class RecordStore:
    """Implements `application.ports.Records`."""

    async def of_encounter(self, tx: Transaction, encounter_id: UUID) -> list[Stored]:
        subjects = await tx.driver.fetch(
            "SELECT * FROM subject WHERE encounter_id = $1 ORDER BY subject_number", encounter_id
        )
        ids = [row["subject_id"] for row in subjects]
        decisions = await tx.driver.fetch(
            "SELECT * FROM decision WHERE subject_id = ANY($1::uuid[]) ORDER BY subject_id, number", ids
        )
        completions = await tx.driver.fetch(
            "SELECT * FROM completion WHERE subject_id = ANY($1::uuid[]) ORDER BY completed_at, event_id", ids
        )
        # A withdrawal that was confirmed fulfils nothing.
        told = await tx.driver.fetch(
            """
            SELECT subject_id, duty_id, met_at, (
                SELECT min(confirmed_at) FROM notice JOIN delivery USING (notice_id)
                WHERE notice.obligation_id = obligation.obligation_id AND kind <> 'withdrawal'
                    AND notice.recipient_id = obligation.recipient_id
            ) AS first_confirmed_at
            FROM obligation WHERE subject_id = ANY($1::uuid[])
            """,
            ids,
        )
        rounds_of, completions_of, told_of = (grouped(rows, "subject_id") for rows in (decisions, completions, told))
        return [
            Stored(
                subject_id=row["subject_id"],
                subject_number=row["subject_number"],
                encounter_id=row["encounter_id"],
                agency=row["agency"],
                jurisdiction=row["jurisdiction"],
                discovered_at=row["discovered_at"],
                snapshot=snapshot_of(row),
                rounds=tuple(round_of(one) for one in rounds_of.get(row["subject_id"], ())),
                completions=tuple(
                    Completion(
                        event_id=one["event_id"],
                        subject_id=one["subject_id"],
                        completed_at=one["completed_at"],
                        sealed=Sealed.decode(one["sealed"]),
                    )
                    for one in completions_of.get(row["subject_id"], ())
                ),
                told={
                    one["duty_id"]: Told(first_confirmed_at=one["first_confirmed_at"], met_at=one["met_at"])
                    for one in told_of.get(row["subject_id"], ())
                },
            )
            for row in subjects
        ]
