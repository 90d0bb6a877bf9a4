"""Earlier releases, kept whole: their code runs beside today's, in processes of its own."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KEPT = Path(__file__).parent
ROOT = KEPT.parents[1]


@dataclass(frozen=True)
class Release:
    """The code of one release, unpacked. Whoever runs it here gives it no more than its command line and settings."""

    version: str
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """With this, Python and every Python that it starts import the release, wherever they are started."""
        return {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}

    def command(self, *arguments: str) -> list[str]:
        """Its command `firstnotice`, for a process with its environment."""
        return [sys.executable, "-m", "launcher", *arguments]

    def firstnotice(self, *arguments: str) -> None:
        """Runs the release's command to its end."""
        _run(self.command(*arguments), self.environment)

    def digests(self) -> bytes:
        """The digests of the release's migrations, as JSON, worked out as `migrations.py` does it for today's."""
        return _run([sys.executable, str(KEPT / "migrations.py"), "--show"], self.environment)


def kept() -> list[str]:
    """The versions that are kept, oldest first."""
    found = [path.name.removesuffix(".tar.xz") for path in KEPT.glob("*.tar.xz")]
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])


def unpack(version: str, into: Path) -> Release:
    with tarfile.open(KEPT / f"{version}.tar.xz") as archive:
        archive.extractall(into, filter="data")
    return Release(version, into)


def firstnotice(*arguments: str) -> None:
    """Runs today's command to its end."""
    _run([sys.executable, "-m", "launcher", *arguments], {})


def _run(arguments: list[str], environment: Mapping[str, str]) -> bytes:
    done = subprocess.run(
        arguments, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
