"""Webhook signatures (Standard Webhooks 1.0.0): `v1` is HMAC-SHA256, `v1a` is Ed25519, over `id.timestamp.body`."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kernel.errors import ConfigurationError

SECRET_PREFIX = "whsec_"
PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"

SignOne = Callable[[bytes], str]


def _content(text: str, prefix: str, what: str) -> bytes:
    if not text.startswith(prefix):
        raise ConfigurationError(f"a {what} must start with {prefix}")
    try:
        return b64decode(text[len(prefix) :], validate=True)
    except (Base64Error, ValueError):
        raise ConfigurationError(f"a {what} must be {prefix} followed by base64") from None


def v1_signer(secret: str) -> SignOne:
    """Signs with a shared secret of 24 to 64 bytes, written `whsec_` + base64. Raises ConfigurationError."""
    key = _content(secret, SECRET_PREFIX, "v1 secret")
    if not 24 <= len(key) <= 64:
        raise ConfigurationError("a v1 secret must hold 24 to 64 bytes")

    def sign(signed: bytes) -> str:
        return "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()

    return sign


def v1a_key(private_key: str) -> Ed25519PrivateKey:
    """The Ed25519 key written `whsk_` + base64 of its 32-byte seed. Raises ConfigurationError."""
    seed = _content(private_key, PRIVATE_PREFIX, "v1a private key")
    if len(seed) not in (32, 64):
        raise ConfigurationError("a v1a private key must hold a seed of 32 bytes (or the seed and its public key)")
    return Ed25519PrivateKey.from_private_bytes(seed[:32])


def v1a_signer(private_key: str) -> SignOne:
    """Signs with an Ed25519 key. Raises ConfigurationError."""
    key = v1a_key(private_key)

    def sign(signed: bytes) -> str:
        return "v1a," + b64encode(key.sign(signed)).decode()

    return sign


def public_key(private_key: str) -> str:
    """The public half, `whpk_` + base64, to hand to a recipient. Raises ConfigurationError."""
    return PUBLIC_PREFIX + b64encode(v1a_key(private_key).public_key().public_bytes_raw()).decode()


@dataclass(frozen=True, slots=True)
class Signer:
    """All keys that are valid for one endpoint now: during a rotation the old and the new one."""

    signers: tuple[SignOne, ...]

    @classmethod
    def of(cls, secrets: Sequence[str], private_keys: Sequence[str]) -> "Signer":
        """Raises ConfigurationError for a malformed key, or when there is none at all."""
        signers = (*map(v1_signer, secrets), *map(v1a_signer, private_keys))
        if not signers:
            raise ConfigurationError("an endpoint needs a v1 secret or a v1a private key")
        return cls(signers)

    def headers(self, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of one attempt; `timestamp` in unix seconds of this attempt."""
        signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join([sign(signed) for sign in self.signers]),
        }
