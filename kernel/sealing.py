"""Person facts leave the process that took them only sealed: one key per subject and field group, bound to its place.

Design: `docs/decisions/0004-sealing-and-where-keys-live.md`. AES-256-GCM (NIST SP 800-38D) with random 96-bit
nonces, group keys by HKDF-SHA256 (RFC 5869), salted SHA-256 commitments. All primitives are those of `cryptography`.
"""

import os
import zlib
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts.envelope import SealedGroup
from contracts.facts import FieldGroup
from kernel.errors import PoisonEvent

_GROUP_KEY = b"firstnotice.group-key.v1"
_SEALED_GROUP = b"firstnotice.sealed-group.v1"
_GROUP_COMMITMENT = b"firstnotice.group-commitment.v1"
_COMMITMENT = b"firstnotice.commitment.v1"
NONCE_BYTES = 12
SALT_BYTES = 32
COMPRESS_ABOVE = 1024
"""Larger plaintexts (determinations) are compressed with zlib first. Nobody who could watch lengths can also choose
what stands beside a secret in the same group, so lengths betray no more than they did."""

# A plaintext is the JSON object {"salt":"<44 characters>","value":<value>}. The parts sit at fixed places, so that the
# commitment is checked over the very bytes that were sealed, whatever a later JSON library makes of them.
_BEFORE_SALT, _BEFORE_VALUE, _AFTER_VALUE = b'{"salt":"', b'","value":', b"}"
_SALT_AT = slice(len(_BEFORE_SALT), len(_BEFORE_SALT) + 44)
_SEPARATOR_AT = slice(_SALT_AT.stop, _SALT_AT.stop + len(_BEFORE_VALUE))
_VALUE_AT = slice(_SEPARATOR_AT.stop, -len(_AFTER_VALUE))


class SealBroken(PoisonEvent):
    """A sealed group does not open or is not what was committed to: altered, or moved from another place."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one subject: 32 secret bytes that exist in clear only in memory. Never shown by `repr`."""

    key_id: UUID
    subject_id: UUID
    secret: bytes = field(repr=False)
    _ciphers: dict[str, AESGCM] = field(default_factory=dict, init=False, repr=False, compare=False)

    def cipher(self, group: str) -> AESGCM:
        """The cipher of one field group; derived once."""
        cipher = self._ciphers.get(group)
        if cipher is None:
            derive = HKDF(SHA256(), length=32, salt=None, info=_group_info(group)).derive
            cipher = self._ciphers[group] = AESGCM(derive(self.secret))
        return cipher


class Sealed(msgspec.Struct, frozen=True):
    """The sealed groups of one event or row, with the commitment that its public part carries."""

    key_id: UUID
    commitment: bytes
    groups: dict[str, SealedGroup]

    def encode(self) -> bytes:
        """One value for a `bytea` column (MessagePack); `decode` reads it back."""
        return _write.encode(_Stored(1, self.key_id, self.commitment, self.groups))

    @classmethod
    def decode(cls, encoded: bytes) -> "Sealed":
        """Raises SealBroken when the bytes are not ours."""
        try:
            found = _read.decode(encoded)
        except msgspec.DecodeError as error:
            raise SealBroken(f"a stored seal does not decode ({type(error).__name__})") from None
        if found.version != 1:
            raise SealBroken("a stored seal has a format that this version does not read")
        return cls(found.key_id, found.commitment, found.groups)


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    version: int
    key_id: UUID
    commitment: bytes
    groups: dict[str, SealedGroup]


_write, _read = msgspec.msgpack.Encoder(uuid_format="bytes"), msgspec.msgpack.Decoder(_Stored)


def _framed(*parts: bytes) -> bytes:
    """Parts with their lengths in front, so that no two different lists give the same bytes."""
    return b"".join([piece for part in parts for piece in (len(part).to_bytes(4, "big"), part)])


_UUID = (16).to_bytes(4, "big")
_PLACE = _framed(_SEALED_GROUP) + _UUID


@cache
def _group_info(group: str) -> bytes:
    return _framed(_GROUP_KEY, group.encode())


@cache
def _group_name(group: str) -> bytes:
    return _framed(group.encode())


def _place(context: UUID, subject: UUID) -> bytes:
    """Additional data of every group that is sealed there, to be followed by the group's name."""
    return _PLACE + context.bytes + _UUID + subject.bytes


def _group_commitment(salt: bytes, value: bytes) -> bytes:
    return sha256(_GROUP_COMMITMENT + salt + value).digest()


def commitment_of(groups: Mapping[str, SealedGroup]) -> bytes:
    """The commitment of an event to all its sealed groups: 32 bytes, reveals nothing, independent of their order."""
    parts = [part for name in sorted(groups) for part in (name.encode(), groups[name].commitment)]
    return sha256(_framed(_COMMITMENT, *parts)).digest()


def seal(
    key: DataKey,
    context: UUID,
    groups: Mapping[FieldGroup, Any],
    *,
    random: Callable[[int], bytes] = os.urandom,
) -> Sealed:
    """Seals JSON values of one subject for one place.

    `context` is the id of the event, or of the row, that will hold the result: a seal opens nowhere else. The same
    value sealed twice gives different bytes and different commitments. Raises TypeError for what is not JSON.
    """
    sealed: dict[str, SealedGroup] = {}
    place = _place(context, key.subject_id)
    for group, content in groups.items():
        name = group.value
        value = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        salt, nonce = random(SALT_BYTES), random(NONCE_BYTES)
        plaintext = _BEFORE_SALT + b64encode(salt) + _BEFORE_VALUE + value + _AFTER_VALUE
        if len(plaintext) > COMPRESS_ABOVE:
            plaintext = zlib.compress(plaintext, 1)
        ciphertext = key.cipher(name).encrypt(nonce, plaintext, place + _group_name(name))
        sealed[name] = SealedGroup(nonce + ciphertext, _group_commitment(salt, value))
    return Sealed(key.key_id, commitment_of(sealed), sealed)


def unseal(
    key: DataKey, context: UUID, groups: Mapping[str, SealedGroup], granted: Collection[FieldGroup]
) -> dict[FieldGroup, Any]:
    """Opens the granted groups, and no others, and checks each against its commitment.

    Raises SealBroken when anything was altered, or was sealed for another place, subject or group. A name that is no
    field group of this version is not granted, so it stays closed.
    """
    place = _place(context, key.subject_id)
    return {group: _open(key, place, group, groups[group]) for group in granted if group in groups}


def _open(key: DataKey, place: bytes, name: str, part: SealedGroup) -> Any:
    nonce, ciphertext = part.ciphertext[:NONCE_BYTES], part.ciphertext[NONCE_BYTES:]
    try:
        plaintext = key.cipher(name).decrypt(nonce, ciphertext, place + _group_name(name))
        if not plaintext.startswith(_BEFORE_SALT):
            plaintext = zlib.decompress(plaintext)
        salt, value = a2b_base64(plaintext[_SALT_AT]), plaintext[_VALUE_AT]
        if plaintext[_SEPARATOR_AT] != _BEFORE_VALUE or _group_commitment(salt, value) != part.commitment:
            raise SealBroken(f"the sealed group {name} is not what was committed to")
        return orjson.loads(value)
    except (InvalidTag, ValueError, Base64Error, zlib.error) as error:
        raise SealBroken(f"the sealed group {name} does not open here ({type(error).__name__})") from None
