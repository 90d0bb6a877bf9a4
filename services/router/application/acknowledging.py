"""Takes a recipient's business answer to a notice: the answer, not a 2xx, is what ends a duty."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.events import AcknowledgementStatus, NoticeAcknowledged
from contracts.facts import FieldGroup
from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import Conflict, NotFound
from kernel.events.outbox import Outbox
from kernel.sealing import seal
from kernel.subject_keys import SubjectKeys
from services.router.application.ports import Acknowledged, Answers, NoticeState
from services.router.domain.acknowledgement import ends_duty, step
from services.router.domain.origin import tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the recipient said. Case number and comment are stored sealed only."""

    status: AcknowledgementStatus
    at: datetime | None = None
    case_number: str | None = None
    comment: str | None = None


class Acknowledging:
    """The use cases behind the recipients' API."""

    def __init__(self, *, store: Answers, keys: SubjectKeys, outbox: Outbox, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._keys = keys
        self._outbox = outbox
        self._clock = clock
        self._ids = ids

    async def acknowledge(self, tx: Transaction, notice_id: UUID, recipient_id: str, answer: Answer) -> NoticeState:
        """Stores a new answer; one that repeats an earlier status changes nothing. The result of the send may still
        be on its way.

        Raises NotFound for what is not this recipient's, Conflict when it contradicts an earlier answer.
        """
        notice = await self._store.answerable(tx, notice_id, recipient_id)
        if notice is None:
            raise NotFound("There is no such notice for this recipient.")
        match step(notice.earlier, answer.status):
            case "contradicts":
                raise Conflict(f"The notice was answered `{notice.earlier[-1]}`; `{answer.status}` cannot follow that.")
            case "new":
                event_id, now = self._ids(), self._clock()
                at = min(answer.at, now) if answer.at is not None else now
                key = (await self._keys.by_id(tx, [notice.key_id])).get(notice.key_id)
                said: dict[str, Any] = {"case_number": answer.case_number, "comment": answer.comment}
                said = {name: value for name, value in said.items() if value is not None}
                # An erased subject's answer counts; what it said about the person is not kept.
                sealed = seal(key, event_id, {FieldGroup.ACKNOWLEDGEMENT: said}) if said and key is not None else None
                await self._store.save_acknowledgement(
                    tx,
                    event_id=event_id,
                    notice_id=notice_id,
                    given=Acknowledged(status=answer.status, at=at),
                    sealed=sealed,
                )
                if notice.live and not notice.met and ends_duty(answer.status, notice.acknowledgement):
                    await self._store.meet(tx, [notice.origin.obligation_id], at)
                data = NoticeAcknowledged(
                    notice_id=notice_id,
                    obligation_id=notice.origin.obligation_id,
                    duty_id=notice.origin.duty_id,
                    recipient_id=recipient_id,
                    status=answer.status,
                    acknowledged_at=at,
                )
                source = self._outbox.source
                event = tell(notice.origin, data, id=event_id, source=source, time=now, cause=notice_id, sealed=sealed)
                await self._outbox.append(tx, [event])
            case "repeated":
                pass
        return await self.state(tx, notice_id, recipient_id)

    async def state(self, tx: Transaction, notice_id: UUID, recipient_id: str) -> NoticeState:
        """Raises NotFound for what is not this recipient's."""
        state = await self._store.notice_state(tx, notice_id, recipient_id)
        if state is None:
            raise NotFound("There is no such notice for this recipient.")
        return state
