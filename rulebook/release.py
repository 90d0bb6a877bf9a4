"""Releases of the law: sealed by a digest, archived for ever, and loaded again by version to replay an answer."""

import hashlib
import json
import logging
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rulebook import schema
from rulebook.errors import LawError
from rulebook.files import read_yaml, validate
from rulebook.loader import LAW, Law, Override, load_law

_LOG = logging.getLogger(__name__)
ARCHIVE = "archive"
_NOT_LAW = (ARCHIVE, "schemas")
"""Folders beside the law files: what is derived from them."""
_SAME_TIME = (1980, 1, 1, 0, 0, 0)
"""Entries of an archive carry no time, so that the same release gives the same bytes."""


def release_digest(root: Path) -> str:
    """SHA-256 over every law file and over the release's version, dates and people."""
    release = _release(root).model_dump(mode="json", exclude={"digest"})
    content = {name: hashlib.sha256(data).hexdigest() for name, data in law_files(root).items()}
    content.pop("release.yaml")
    return hashlib.sha256(json.dumps([release, content], sort_keys=True).encode()).hexdigest()


def law_files(root: Path) -> dict[str, bytes]:
    """The law files of a release by their path in it, in order."""
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".yaml", ".csv"))
    inside = [(path.relative_to(root), path) for path in paths]
    return {where.as_posix(): path.read_bytes() for where, path in inside if where.parts[0] not in _NOT_LAW}


def archived(root: Path = LAW) -> tuple[str, ...]:
    """Versions that can be loaded again, oldest first."""
    found = [path.name.removesuffix(".zip") for path in (root / ARCHIVE).glob("*.zip")]
    return tuple(sorted(found, key=lambda version: [int(part) for part in version.split(".")]))


def archive(root: Path = LAW) -> Path:
    """Seals the release in a folder and keeps it: writes its digest and `archive/<version>.zip`.

    Raises LawError for a release that does not load, or whose version was archived with another content.
    """
    load_law(root)
    release, digest = _release(root), release_digest(root)
    target = root / ARCHIVE / f"{release.version}.zip"
    if target.exists() and _archived_digest(target) != digest:
        raise LawError(f"release.yaml, line 1: {release.version} is archived with another content; raise `version`")
    path = root / "release.yaml"
    text = re.sub(r"^digest: .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(f"{text.rstrip()}\ndigest: {digest}\n", encoding="utf-8")
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w") as into:
        for name, data in law_files(root).items():
            into.writestr(zipfile.ZipInfo(name, _SAME_TIME), data, zipfile.ZIP_DEFLATED)
    return target


def load_release(version: str, root: Path = LAW, overrides: Mapping[str, Override] | None = None) -> Law:
    """A release of the archive, as it was. Raises LawError for a version that is not there, or was altered since."""
    source = root / ARCHIVE / f"{version}.zip"
    if version not in archived(root):
        raise LawError(f"there is no archived release {version}; write one of {', '.join(archived(root)) or 'none'}")
    with tempfile.TemporaryDirectory(prefix="law-") as folder, zipfile.ZipFile(source) as archived_release:
        archived_release.extractall(folder)
        if _release(Path(folder)).digest != release_digest(Path(folder)):
            raise LawError(f"{source.name}, line 1: the archived release was altered; restore it from a backup")
        return load_law(Path(folder), overrides)


def unsealed(root: Path) -> str | None:
    """What is wrong with the seal of a release, or None: every change needs a version and another person's approval."""
    release = _release(root)
    if release.digest != release_digest(root):
        return f"{release.version} differs from what was approved; raise `version`, have it approved, run law archive"
    if release.version not in archived(root):
        return f"{release.version} is not archived; run law archive"
    if _archived_digest(root / ARCHIVE / f"{release.version}.zip") != release.digest:
        return f"{release.version} is archived with another content; raise `version`"
    return None


def _release(root: Path) -> schema.Release:
    path = root / "release.yaml"
    return validate(schema.Release, read_yaml(path), path)


def _archived_digest(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archived_release, tempfile.TemporaryDirectory(prefix="law-") as folder:
        archived_release.extractall(folder)
        return release_digest(Path(folder))


@dataclass(frozen=True, slots=True)
class InForce:
    """The law that a process applies. With a `fallback_reason` it is not the one in the folder: say so loudly."""

    law: Law
    fallback_reason: str | None = None
    """What is wrong with the folder, by file and line; None if its release is the one in force."""

    @property
    def versions(self) -> dict[str, str]:
        """Of law and policy."""
        return {"law": self.law.version, "policy": self.law.policy_version}

    @property
    def shown(self) -> dict[str, str]:
        """What a service says of the law that it applies."""
        shown = {f"{name}_version": version for name, version in self.versions.items()}
        return shown | ({"law_refused": self.fallback_reason} if self.fallback_reason is not None else {})


def load_law_or_last_good(
    path: Path | None = None, overrides: Mapping[str, Override] | None = None, *, holding: Law | None = None
) -> InForce:
    """The release in a folder; if it does not load, `holding`, or else the newest of its archive that does.

    For starting and reloading: a bad law file stops no notice. The reason goes to the log, and may be read by whoever
    shows the state of a service. Raises LawError if no archived release loads either; it names what is wrong with the
    folder first.
    """
    root = path or LAW
    try:
        return InForce(load_law(root, overrides))
    except (LawError, OSError, UnicodeDecodeError) as error:
        reason = _described(error)
    if holding is not None:
        return _fallen_back(holding, reason)
    refused = []
    for version in reversed(archived(root)):
        try:
            return _fallen_back(load_release(version, root, overrides), reason)
        except (LawError, OSError, zipfile.BadZipFile) as error:
            refused.append(f"archived {version}: {_described(error)}")
    raise LawError("\n".join([reason, *refused, "no archived release stands in; correct the first of these"]))


def _fallen_back(law: Law, reason: str) -> InForce:
    _LOG.error("law release refused, %s stays in force: %s", law.version, reason)
    return InForce(law, reason)


def _described(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{Path(error.filename or '.').name} cannot be read ({error.strerror}); restore it"
    return "a law file is not UTF-8; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
