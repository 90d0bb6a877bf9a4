"""Gives a stored determination a second time, from the same facts and the archived release that it names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from contracts.facts import SubjectFacts
from rulebook.errors import LawError
from rulebook.loader import Law
from rulebook.programs import determine
from rulebook.remarks import REMARKS

Document = Mapping[str, Any]

_NOT_OF_IT = ("subject_id", "determination_id", "made_at", "made_from", "facts_salt")
"""What the API or a store adds to a determination."""
_OPTIONAL = ("note", "gaps", "presumed", "disputed", "would_change", "contradicted")


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of it. `differences` name places in the document, not what stands there."""

    law_version: str
    law_digest: str
    same: bool
    stored: bytes
    replayed: bytes
    """Both in the canonical form of `rulebook.answers.Determination.canonical`."""
    differences: tuple[str, ...]


def replay(document: Document, facts: SubjectFacts, law: Law, *, jurisdiction: str, encounter_at: datetime) -> Replay:
    """Evaluates again on the day of the document and compares all that it holds, byte for byte.

    `document` is a determination as it is stored, or as the API tells it; `law` the release that it names, see
    `rulebook.release.load_release`. Pure. Raises LawError where the release is another one, or the document is none.
    """
    stored = as_stored(document)
    digest = stored.get("law_digest", law.digest)
    if stored["law_version"] != law.version or digest != law.digest:
        raise LawError(
            f"the document names release {stored['law_version']} with digest {str(digest)[:12]}, and this is "
            f"{law.version} with {law.digest[:12]}; load the release it names, with the policy values of that time"
        )
    noon = datetime.combine(_day(stored["as_of"]), time(12), ZoneInfo(law.jurisdictions[jurisdiction].time_zone))
    known_at = _day(stored["known_at"]) if "known_at" in stored else None
    again = determine(
        facts,
        law,
        jurisdiction=jurisdiction,
        encounter_at=encounter_at,
        as_of=noon,
        known_at=known_at,
        salt=_salt(document),
    ).to_json()
    # The API leaves parts out; what it does tell has to be the same.
    told = {key: value for key, value in again.items() if key in stored}
    one, other = canonical(stored), canonical(told)
    return Replay(law.version, law.digest, one == other, one, other, tuple(_differences(stored, told)))


def as_stored(document: Document) -> dict[str, Any]:
    """The stored form of a determination that the API told: without what the API adds.

    Raises LawError for a document that is no determination.
    """
    programs = document.get("programs")
    if not isinstance(programs, list) or not all(isinstance(answer, dict) for answer in programs):
        raise LawError("`programs` is missing; write a determination as it is stored, or as the API tells it")
    for key in ("as_of", "law_version"):
        if not isinstance(document.get(key), str):
            raise LawError(f"`{key}` is missing; write a determination as it is stored, or as the API tells it")
    # A salted digest cannot be worked out again without its salt.
    left_out = _NOT_OF_IT if _salt(document) else (*_NOT_OF_IT, "facts_digest")
    found = {key: value for key, value in document.items() if key not in left_out}
    if not found.get("contradictions"):
        found.pop("contradictions", None)
    return found | {"programs": [_stored_answer(answer) for answer in programs]}


def canonical(document: Document) -> bytes:
    """The same bytes for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _stored_answer(answer: Document) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in answer.items()
        if key not in REMARKS and not (key in _OPTIONAL and value in (None, []))
    }
    missing = [one["fact"] if isinstance(one, dict) else one for one in kept.get("missing", [])]
    reasons = [_without_source(one) if isinstance(one, dict) else one for one in kept.get("reasons", [])]
    return kept | {"missing": missing, "reasons": reasons}


def _without_source(reason: Document) -> dict[str, Any]:
    """The events that told a fact are not part of the facts: the same ones may have come by others."""
    return {key: value for key, value in reason.items() if key != "source"}


def _differences(stored: Document, again: Document) -> list[str]:
    found = [f"{key} differs" for key in stored if key != "programs" and stored[key] != again.get(key)]
    before = {str(answer.get("program")): answer for answer in stored["programs"]}
    after = {answer["program"]: answer for answer in again["programs"]}
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            found.append(f"{name}: {'is only in the replay' if old is None else 'is only in the document'}")
        else:
            found += [f"{name}: {part} differs" for part in sorted({*old, *new}) if old.get(part) != new.get(part)]
    return found


def _salt(document: Document) -> bytes | None:
    """What a screening was told with the digest of its facts."""
    salt = document.get("facts_salt")
    try:
        return None if salt is None else bytes.fromhex(salt)
    except (TypeError, ValueError):
        raise LawError("facts_salt is written in hex; write it as the answer has it") from None


def _day(text: Any) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise LawError("as_of and known_at are days; write YYYY-MM-DD") from None
