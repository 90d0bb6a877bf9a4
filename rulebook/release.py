"""Releases of the law: sealed by a digest, archived for ever, and loaded again by version to replay an answer."""

import hashlib
import json
import logging
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rulebook import schema
from rulebook.errors import LawError
from rulebook.files import line_of, read_bytes, read_yaml, validate
from rulebook.loader import LAW, Law, Override, load_law

_LOG = logging.getLogger(__name__)
ARCHIVE = "archive"
_NOT_LAW = (ARCHIVE, "schemas")
"""Folders beside the law files: what is derived from them."""
_SAME_TIME = (1980, 1, 1, 0, 0, 0)
"""Entries of an archive carry no time, so that the same release gives the same bytes."""
_KEPT = re.compile(r"(\d+\.\d+\.\d+)\.zip")


def release_digest(root: Path) -> str:
    """SHA-256 over every law file and over the release's version, dates and people."""
    release = _release(root).model_dump(mode="json", exclude={"digest"})
    content = {name: hashlib.sha256(data).hexdigest() for name, data in law_files(root).items()}
    content.pop("release.yaml")
    return hashlib.sha256(json.dumps([release, content], sort_keys=True).encode()).hexdigest()


def law_files(root: Path) -> dict[str, bytes]:
    """The law files of a release by their path in it, in order. Raises LawError for one that cannot be read."""
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".yaml", ".csv") and path.is_file())
    inside = [(path.relative_to(root), path) for path in paths]
    return {
        where.as_posix(): read_bytes(path, where.as_posix()) for where, path in inside if where.parts[0] not in _NOT_LAW
    }


def archived(root: Path = LAW) -> tuple[str, ...]:
    """Versions that can be loaded again, oldest first."""
    found = (_KEPT.fullmatch(path.name) for path in (root / ARCHIVE).glob("*.zip"))
    versions = (kept[1] for kept in found if kept)
    return tuple(sorted(versions, key=lambda version: [int(part) for part in version.split(".")]))


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
    begun = target.with_suffix(".part")
    with zipfile.ZipFile(begun, "w") as into:
        for name, data in law_files(root).items():
            into.writestr(zipfile.ZipInfo(name, _SAME_TIME), data, zipfile.ZIP_DEFLATED)
    begun.replace(target)
    return target


def load_release(version: str, root: Path = LAW, overrides: Mapping[str, Override] | None = None) -> Law:
    """A release of the archive, as it was. Raises LawError for a version that is not there, or was altered since."""
    source = root / ARCHIVE / f"{version}.zip"
    if version not in archived(root):
        raise LawError(f"there is no archived release {version}; write one of {', '.join(archived(root)) or 'none'}")
    with _extracted(source) as folder:
        if _release(folder).digest != release_digest(folder):
            raise LawError(f"{source.name}, line 1: the archived release was altered; restore it from a backup")
        return load_law(folder, overrides)


@contextmanager
def _extracted(path: Path) -> Iterator[Path]:
    """An archived release as files. Raises LawError for one that is damaged."""
    with tempfile.TemporaryDirectory(prefix="law-") as folder:
        try:
            with zipfile.ZipFile(path) as archived_release:
                archived_release.extractall(folder)
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise LawError(f"{path.name}, line 1: the archived release is damaged; restore it from a backup") from error
        yield Path(folder)


def unsealed(root: Path) -> str | None:
    """What is wrong with the seal of a release, with file and line, or None: every change needs a version and another
    person's approval, and an answer under what is in no archive could never be replayed."""
    release, wrong = _release(root), None
    if release.version not in archived(root):
        wrong = f"{release.version} is not archived; have it approved, and run `firstnotice law archive`"
    elif release.digest != release_digest(root):
        wrong = (
            f"{release.version} differs from what was approved; raise `version`, have it approved, "
            "and run `firstnotice law archive`"
        )
    else:
        try:
            if _archived_digest(root / ARCHIVE / f"{release.version}.zip") != release.digest:
                wrong = f"{release.version} is archived with another content; raise `version`"
        except LawError as error:
            wrong = str(error)
    path = root / "release.yaml"
    return wrong and f"{path.name}, line {line_of(path, ('digest',))}: {wrong}"


def _release(root: Path) -> schema.Release:
    path = root / "release.yaml"
    return validate(schema.Release, read_yaml(path, path.name), path, path.name)


def _archived_digest(path: Path) -> str | None:
    with _extracted(path) as folder:
        return release_digest(folder)


@dataclass(frozen=True, slots=True)
class InForce:
    """The law that a process applies. With a `fallback_reason` it is not the one in the folder: say so loudly."""

    law: Law
    fallback_reason: str | None = None
    """What is wrong with the folder, by file and line; None if nothing is."""
    awaited: str | None = None
    """The release in the folder and its first day, where that is still to come."""

    @property
    def versions(self) -> dict[str, str]:
        """Of law and policy."""
        return {"law": self.law.version, "policy": self.law.policy_version}

    @property
    def shown(self) -> dict[str, str]:
        """What a service says of the law that it applies, and why of that."""
        shown = {f"{name}_version": version for name, version in self.versions.items()}
        why = {"law_refused": self.fallback_reason, "law_awaited": self.awaited}
        return shown | {name: text for name, text in why.items() if text is not None}


def load_law_or_last_good(
    path: Path | None = None,
    overrides: Mapping[str, Override] | None = None,
    *,
    on: date,
    holding: Law | None = None,
    allow_unsealed: bool = False,
) -> InForce:
    """The release in a folder, if it is sound, sealed and in force `on` that day; else `holding`, or else the newest of
    its archive that is.

    For starting and reloading: a bad law file stops no notice, and a release applies from the first start on its first
    day. The reason goes to the log, and may be read by whoever shows the state of a service. `allow_unsealed` is for
    development. Raises LawError if no archived release stands in; it names what is wrong with the folder first.
    """
    root = path or LAW
    reason = awaited = None
    try:
        law = load_law(root, overrides)
        seal = unsealed(root)
        if seal is not None and not allow_unsealed:
            raise LawError(seal)
    except LawError as error:
        reason = str(error)
    else:
        if seal is not None:
            _LOG.warning("unsealed law is applied, and its answers cannot be replayed: %s", seal)
        if law.release.in_force_from <= on:
            return InForce(law)
        awaited = _awaited(law)
    refused = [reason or awaited or ""]
    for version in () if holding is not None else reversed(archived(root)):
        try:
            found = load_release(version, root, overrides)
        except LawError as error:
            refused.append(f"archived {version}: {error}")
            continue
        if found.release.in_force_from <= on:
            holding = found
            break
        refused.append(f"archived {_awaited(found)}")
    if holding is None:
        raise LawError("\n".join([*refused, "no archived release stands in; correct the first of these"]))
    if reason is not None:
        _LOG.error("law release refused, %s stays in force: %s", holding.version, reason)
    else:
        _LOG.info("law release %s, until then %s stays in force", awaited, holding.version)
    return InForce(holding, reason, awaited)


def _awaited(law: Law) -> str:
    return f"{law.version} is in force from {law.release.in_force_from}; start again on that day"
