"""What has migrations: a PostgreSQL schema with its own owner."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Schema:
    """A PostgreSQL schema of ours and where its migrations are."""

    name: str
    versions: Path

    @property
    def role(self) -> str:
        """The role that owns everything in it; NOLOGIN, taken by `SET ROLE`."""
        return f"fn_{self.name}"
