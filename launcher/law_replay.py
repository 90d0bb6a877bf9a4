"""Whether a stored determination comes out the same again, under the release that it names."""

from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from kernel.errors import ConfigurationError
from launcher.law_cases import read_case
from rulebook.errors import LawError
from rulebook.loader import LAW
from rulebook.release import load_release
from rulebook.replay import Replay, as_stored, replay

_SHAPE = "write a determination as GET /v1/encounters/{id}/determinations gives it, or as it is stored"


def replay_file(path: Path, facts: Path, *, subject: int, jurisdiction: str, now: datetime, root: Path = LAW) -> Replay:
    """The document of a file, on the facts of another one. Raises ConfigurationError, without any value."""
    document = _read(path, subject)
    try:
        law = load_release(as_stored(document)["law_version"], root)
        law.applies_in(jurisdiction)
        # What was accepted then is evaluated as it was then, whatever would be refused today.
        case = read_case(facts, subject, None, now)
        return replay(document, case.facts, law, jurisdiction=jurisdiction, encounter_at=case.encounter_at)
    except LawError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _read(path: Path, number: int) -> dict[str, Any]:
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); {_SHAPE}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{path}, line {error.lineno}: this is not JSON; {_SHAPE}") from None
    if isinstance(document, dict) and isinstance(document.get("subjects"), list):
        subjects = document["subjects"]
        if len(subjects) != 1:
            raise ConfigurationError(
                f"{path}, line 1: {len(subjects)} subjects; write one of them to a file of its own, and say with "
                f"--subject which of the report it is (now {number})"
            )
        document = subjects[0]
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}, line 1: this is no determination; {_SHAPE}")
    return document
