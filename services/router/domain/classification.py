"""What an attempt's end means: confirmed, try again, or held for a person (Standard Webhooks 1.0.0)."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from uuid import UUID

import msgspec

Confirmation = Literal["receipt", "any_2xx"]
"""`receipt`: a 2xx whose JSON body is {"received": "<webhook-id>"}, which no captive portal can give."""

FailureKind = Literal["address_refused", "dns", "connect", "certificate", "timeout", "broken", "worker_lost"]
NEVER_REACHED: frozenset[str] = frozenset({"address_refused", "dns", "connect", "certificate"})
"""Failures before any byte of the notice left: the recipient cannot have learnt anything."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint answered; `body` is cut off at the cap, then `truncated`."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer, and why."""

    kind: FailureKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reached`: the recipient may have read the notice, whether or not it said so."""

    outcome: Literal["confirmed", "retry", "held"]
    reached: bool
    error: str | None = None
    retry_after: float | None = None
    """Seconds the endpoint asked us to wait."""


class _Receipt(msgspec.Struct):
    received: str


_receipt = msgspec.json.Decoder(_Receipt)


def classify(ending: Answer | Failure, *, notice_id: UUID, confirmation: Confirmation, now: datetime) -> Verdict:
    """The verdict on one attempt. Redirects are failures; 410 and a wrong certificate wait for a person."""
    if isinstance(ending, Failure):
        reached = ending.kind not in NEVER_REACHED
        return Verdict("held" if ending.kind == "certificate" else "retry", reached, ending.kind)
    status = ending.status
    if 200 <= status < 300:
        if confirmation == "any_2xx" or _is_receipt(ending, notice_id):
            return Verdict("confirmed", True)
        return Verdict("retry", True, "no_receipt")
    if status == 410:
        return Verdict("held", True, "gone")
    error = "redirect" if 300 <= status < 400 else f"status_{status}"
    return Verdict("retry", True, error, _seconds(ending.retry_after, now))


def _is_receipt(answer: Answer, notice_id: UUID) -> bool:
    if answer.truncated:
        return False
    try:
        return _receipt.decode(answer.body).received == str(notice_id)
    except msgspec.DecodeError:
        return False


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Retry-After (RFC 9110, section 10.2.3) as seconds from now; None when absent or unreadable."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())
