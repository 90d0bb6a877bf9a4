"""The keys that protect all other keys, in a file outside the data directory: a copy of the data opens nothing.

The embedded default. Production takes the same place with KMS or Vault behind `wrap` and `unwrap`
(`docs/decisions/0004-sealing-and-where-keys-live.md`).
"""

import hmac
import os
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kernel.errors import ConfigurationError, Unavailable
from kernel.sealing import SealBroken

_WRAPPING = b"firstnotice.data-key.v1"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class KeyMissing(Unavailable):
    """A data key was wrapped by a key that this process has not loaded: it waits, it parks nothing."""


@dataclass(frozen=True)
class Keyset:
    """Key-encryption keys by id, the current one, and the key of blind indexes. Never shown by `repr`."""

    current: str
    blind_index_key: bytes = field(repr=False)
    keks: Mapping[str, bytes] = field(repr=False)
    _ciphers: dict[str, AESGCM] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def generate(cls) -> "Keyset":
        """A new keyset, in memory only."""
        kek_id = _new_kek_id()
        return cls(kek_id, secrets.token_bytes(_KEY_BYTES), {kek_id: secrets.token_bytes(_KEY_BYTES)})

    @classmethod
    def load(cls, path: Path) -> "Keyset":
        """Reads the file. Raises ConfigurationError when it is missing, malformed, or readable by anyone else."""
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                content = file.read()
        except FileNotFoundError:
            raise ConfigurationError(
                f"there is no keyset at {path}: restore it from its own backup, or start with `firstnotice up`"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"the keyset {path} cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077:
            raise ConfigurationError(f"the keyset {path} must be a file that only its owner can read: chmod 600 it")
        try:
            return cls._parse(orjson.loads(content))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Not even the parser's own message: it may quote what it read.
            raise ConfigurationError(f"the keyset {path} is not a keyset of this version") from None

    @classmethod
    def create(cls, path: Path, *, data_directory: Path | None = None) -> "Keyset":
        """Makes the file (mode 0600), or loads it when it is already there: of two at once, both get the same keys.

        Raises ConfigurationError when it would lie inside `data_directory`, where every copy of the data takes it
        along.
        """
        if data_directory is not None and path.resolve().is_relative_to(data_directory.resolve()):
            raise ConfigurationError(f"the keyset {path} must lie outside the data directory {data_directory}")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = _write_draft(path, cls.generate())
            try:
                # A link never replaces: the first one wins, and nobody's keys are lost.
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            _sync_directory(path.parent)
        return cls.load(path)

    def rotated(self) -> "Keyset":
        """With a new current key; data keys that earlier ones wrapped still unwrap."""
        kek_id = _new_kek_id()
        return Keyset(kek_id, self.blind_index_key, {**self.keks, kek_id: secrets.token_bytes(_KEY_BYTES)})

    def save(self, path: Path) -> None:
        """Replaces the file in one step: a reader sees the old keyset or the new one."""
        os.replace(_write_draft(path, self), path)
        _sync_directory(path.parent)

    def blind_index(self, label: str, value: str) -> bytes:
        """A keyed hash (HMAC-SHA256, 32 bytes) to find equal values without storing them; `label` names the use."""
        name = label.encode()
        return hmac.digest(self.blind_index_key, len(name).to_bytes(4, "big") + name + value.encode(), "sha256")

    def wrap(self, key_id: UUID, subject_id: UUID, secret: bytes) -> tuple[str, bytes]:
        """The id of the current key and the data key encrypted under it, bound to its id and its subject."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self.current, nonce + self._cipher(self.current).encrypt(nonce, secret, _bound(key_id, subject_id))

    def unwrap(self, kek_id: str, key_id: UUID, subject_id: UUID, wrapped: bytes) -> bytes:
        """The data key. Raises KeyMissing, or SealBroken when it was altered or is another subject's."""
        try:
            cipher = self._cipher(kek_id)
            return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _bound(key_id, subject_id))
        except KeyError:
            raise KeyMissing(
                "a data key was wrapped by a key that this keyset lacks: give the service the keyset of its database"
            ) from None
        except (InvalidTag, ValueError):
            raise SealBroken("a wrapped data key was altered, or belongs to another subject") from None

    def _cipher(self, kek_id: str) -> AESGCM:
        cipher = self._ciphers.get(kek_id)
        if cipher is None:
            cipher = self._ciphers[kek_id] = AESGCM(self.keks[kek_id])
        return cipher

    @classmethod
    def _parse(cls, document: dict[str, Any]) -> "Keyset":
        keks = {str(name): b64decode(key, validate=True) for name, key in document["keks"].items()}
        keyset = cls(document["current"], b64decode(document["blind_index"], validate=True), keks)
        lengths = {len(key) for key in (*keks.values(), keyset.blind_index_key)}
        if document["version"] != 1 or keyset.current not in keks or lengths != {_KEY_BYTES}:
            raise ValueError
        return keyset

    def _document(self) -> bytes:
        return orjson.dumps(
            {
                "version": 1,
                "current": self.current,
                "keks": {name: b64encode(key).decode() for name, key in self.keks.items()},
                "blind_index": b64encode(self.blind_index_key).decode(),
            },
            option=orjson.OPT_INDENT_2,
        )


def _new_kek_id() -> str:
    return "kek-" + secrets.token_hex(8)


def _bound(key_id: UUID, subject_id: UUID) -> bytes:
    return _WRAPPING + key_id.bytes + subject_id.bytes


def _write_draft(path: Path, keyset: Keyset) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(keyset._document())
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
