"""What a release says beside an answer: no condition and no part of what is kept, and joined whenever it is told."""

from dataclasses import dataclass, fields
from typing import Any

from rulebook.answers import ProgramAnswer
from rulebook.loader import Law
from rulebook.schema import Program

FROM_MEMORY = "memory"
"""The key in `law/sources.yaml` for what was found in no source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remarks:
    """In the words of the release that the answer was given under."""

    name: str
    time_limits: str | None
    """In words. Part of the answer only where a condition of the rule says the same."""
    version_notes: tuple[str, ...]
    """Of the version that was applied; while it is not known which, of all of them."""
    found_in: tuple[str, ...]
    """Pages in which the rules were found. The citations are the authority."""
    citation_verified: bool
    """False if any part stands on general knowledge and was seen in no source."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "time_limits": self.time_limits,
            "version_notes": list(self.version_notes),
            "found_in": list(self.found_in),
            "citation_verified": self.citation_verified,
        }


REMARKS = tuple(field.name for field in fields(Remarks))
"""Members that are told with an answer, beside its own."""


def remarks(answer: ProgramAnswer, spec: Program, law: Law) -> Remarks:
    """`spec` is the program of the answer in `law`, the release that the answer was given under."""
    applied = [
        version
        for version in spec.versions
        # Without a day and without a note it is not known which of them applies.
        if version.effective.from_ == answer.version_from or (answer.version_from is None and answer.note is None)
    ]
    return Remarks(
        name=spec.name,
        time_limits=spec.time_limits,
        version_notes=tuple(version.note for version in applied if version.note is not None),
        found_in=tuple(dict.fromkeys(law.sources[key] for key in spec.sources)),
        citation_verified=FROM_MEMORY not in spec.sources,
    )
