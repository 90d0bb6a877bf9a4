"""The body of a webhook: a CloudEvent in structured mode, made once per notice and sent as the same bytes for ever."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from contracts.events import NoticeKind

EVENT_TYPE = "org.firstnotice.notice.v1"


def notice_body(
    *,
    notice_id: UUID,
    source: str,
    subject_id: UUID,
    encounter_id: UUID,
    duty_id: str,
    kind: NoticeKind,
    revision: int,
    issued_at: datetime,
    due_at: datetime | None,
    citations: tuple[str, ...],
    law_version: str | None,
    policy_version: str | None,
    replaces: UUID | None,
    purpose: str | None,
    redisclosure: str | None,
    disclosed: Mapping[str, Any],
) -> bytes:
    """CloudEvents 1.0, JSON format. A withdrawal discloses nothing: only that an earlier notice no longer applies."""
    notice: dict[str, Any] = {
        "id": str(notice_id),
        "kind": kind,
        "revision": revision,
        "encounter_id": str(encounter_id),
        "duty_id": duty_id,
        "citations": list(citations),
        "due_at": due_at.isoformat() if due_at else None,
        "law_version": law_version,
        "policy_version": policy_version,
        "replaces": str(replaces) if replaces else None,
        "acknowledge_path": f"/v1/notices/{notice_id}/acknowledgements",
    }
    data: dict[str, Any] = {
        "notice": {name: value for name, value in notice.items() if value is not None},
        "purpose": purpose,
        "redisclosure": redisclosure,
        "disclosed": disclosed,
    }
    if kind == "withdrawal":
        data = {"notice": data["notice"]}
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": str(notice_id),
            "source": source,
            "type": EVENT_TYPE,
            "subject": str(subject_id),
            "time": issued_at.isoformat(),
            "datacontenttype": "application/json",
            "data": {name: value for name, value in data.items() if value is not None},
        }
    )
