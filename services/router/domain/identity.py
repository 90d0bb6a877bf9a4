"""Names that a replay gives again: an obligation and a notice are named after what they are, not after when."""

from uuid import UUID, uuid5

_OBLIGATION = UUID("6b9c4a1e-0d6f-5c1b-9a53-2f3f6f0f7a01")
_NOTICE = UUID("6b9c4a1e-0d6f-5c1b-9a53-2f3f6f0f7a02")


def obligation_id(encounter_id: UUID, subject_id: UUID, duty_id: str) -> UUID:
    """One obligation for each encounter, subject and duty."""
    return uuid5(_OBLIGATION, f"{encounter_id}/{subject_id}/{duty_id}")


def notice_id(encounter_id: UUID, subject_id: UUID, duty_id: str, recipient_id: str, revision: int) -> UUID:
    """One notice for each revision of what one recipient is told of one obligation: all its attempts carry it."""
    return uuid5(_NOTICE, f"{encounter_id}/{subject_id}/{duty_id}/{recipient_id}/{revision}")
