"""The release that an answer was given under, also when another one is in force now."""

import asyncio
from pathlib import Path

from rulebook.errors import LawError
from rulebook.loader import LAW, Law
from rulebook.release import load_release

_KEPT = 4


class Releases:
    """The release in force, and archived ones as they are asked for."""

    def __init__(self, law: Law, root: Path | None) -> None:
        self._law = law
        self._root = root or LAW
        self._archived: dict[str, Law] = {}

    async def of(self, version: str, digest: str | None = None) -> Law:
        """By its version, for who kept no digest. Raises LawError if it is not archived, or with another content."""
        if digest == self._law.digest or (digest is None and version == self._law.version):
            return self._law
        found = self._archived.get(version)
        if found is None:
            found = await asyncio.to_thread(load_release, version, self._root)
            while len(self._archived) >= _KEPT:
                self._archived.pop(next(iter(self._archived)))
            self._archived[version] = found
        if digest is not None and found.digest != digest:
            raise LawError(f"release {version} is archived with another content than the answer was given under")
        return found
