"""When two evaluations of a person give the same answers, what names an evaluation, and when to look again."""

import hmac
from datetime import date, timedelta
from uuid import UUID, uuid5

TAG_BYTES = 16
_TAG = b"firstnotice.answers.v1"


def answers_tag(secret: bytes, answers: bytes) -> bytes:
    """What stands in the clear for a person's answers, so that another evaluation is compared without opening them.

    HMAC-SHA256 (RFC 2104) under the subject's own data key, cut to 16 bytes: without the key it tells nothing, and two
    persons with the same answers have different tags. `answers` is `rulebook.records.Recorded.answers`: what somebody
    can act upon. Reasons, citations and versions explain an answer, and are not the answer.
    """
    return hmac.digest(secret, _TAG + answers, "sha256")[:TAG_BYTES]


def determination_id(facts_id: UUID, law_digest: str, follows: UUID | None = None) -> UUID:
    """The same evaluation has the same id however often it is done.

    `facts_id` is the encounter event that brought the facts. `follows` is the determination that stood before, when the
    calendar or a release of the law caused this one: a release that is taken back and adopted again is told again.
    """
    return uuid5(facts_id, law_digest if follows is None else f"{law_digest}@{follows}")


def look_again_on(next_change_on: date | None, today: date, everybody_on: date | None = None) -> date | None:
    """When to evaluate again: the Monday on or before the day on which an answer may change, then daily until it.

    The exact day may be a birthday. It stays sealed; a table, and whoever reads it, knows only the week. The day on
    which the law changes for everybody (`everybody_on`) tells nothing about anybody, and is kept as it is.
    """
    if next_change_on is None:
        return None
    tomorrow = today + timedelta(days=1)
    if next_change_on == everybody_on:
        return max(next_change_on, tomorrow)
    monday = next_change_on - timedelta(days=next_change_on.weekday())
    return max(monday, tomorrow)
