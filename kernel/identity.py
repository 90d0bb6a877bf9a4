"""Who calls: every request carries a short-lived token that the caller signed with its own registered key.

RFC 7523 style JWT (ES256 or Ed25519). For requests that change something the token also binds method, path and body,
so a stolen one can only repeat the same request. Design: `docs/decisions/0003-self-signed-tokens.md`.
"""

import hmac
import os
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import orjson
import yaml
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kernel import telemetry
from kernel.clock import Clock
from kernel.errors import ConfigurationError, Unauthenticated

AUDIENCE = "firstnotice"
ALGORITHMS = ("ES256", "Ed25519", "EdDSA")
"""The only ones. `EdDSA` is the older name of what RFC 9864 calls `Ed25519`."""
LONGEST_LIFE = timedelta(minutes=5)
LEEWAY = timedelta(seconds=30)
"""How far the caller's clock may run ahead of ours."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST_TOKEN = 4096
# Whatever else a header could say (jku, x5u, jwk, x5c, crit) asks us to trust something that came with the token.
_HEADER_MEMBERS = frozenset({"alg", "kid", "typ", "cty"})

Kind = Literal["agency", "recipient", "auditor", "operator"]
SigningKey = ECKey | OKPKey

_log = telemetry.logger(__name__)
_jws = JWSRegistry(algorithms=list(ALGORITHMS))


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client, and whose objects it may touch."""

    client_id: str
    kind: Kind
    agencies: frozenset[str]
    """Agency identifiers (ORI) it reports for or may read."""
    recipient_id: str | None
    scopes: frozenset[str]
    token_id: str
    """The token's `jti`: recorded in the transaction that changes something."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A token whose signature, time and target are right; the body has yet to arrive and match."""

    caller: Caller
    body_digest: str | None


class Client(BaseModel):
    """One entry of the clients file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")
    kind: Kind
    agencies: frozenset[str] = frozenset()
    recipient_id: str | None = None
    scopes: frozenset[str]
    keys: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=4)
    """Public JWKs; two while a key is being replaced."""


@dataclass(frozen=True)
class _Registered:
    client: Client
    keys: tuple[SigningKey, ...]


class ClientRegistry:
    """The registered clients, read from a YAML or JSON file `{clients: [...]}` and again when it changes.

    A file that has become unreadable is reported and the last good one stays in force, so that a slip of an editor
    does not stop notices; a client that is taken out is refused within `check_seconds`.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        audience: str = AUDIENCE,
        check_seconds: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigurationError when the file is missing or malformed, or holds a private key."""
        self._path = path
        self._clock = clock
        self._audience = audience
        self._check_seconds = check_seconds
        self._monotonic = monotonic
        self._stamp = _stamp(path)
        self._clients = _read(path)
        self._next_check = monotonic() + check_seconds

    def verify(self, token: str, *, method: str, target: str) -> Verified:
        """Everything about a token but its body digest. `target` is the path, with `?query` if there is one.

        Raises Unauthenticated, which tells the caller what to change, and nothing of who is registered.
        """
        self._reload()
        header, unverified = _peek(token)
        registered = self._clients.get(str(unverified.get("iss")))
        claims = _signed_claims(token, header, registered.keys) if registered else None
        if registered is None or claims is None:
            raise Unauthenticated("the token is not signed by a key of a registered client")
        _check_times(claims, self._clock().timestamp())
        if claims.get("sub") != claims["iss"]:
            raise Unauthenticated("claims iss and sub must both be the client's id")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise Unauthenticated(f"claim aud must be {self._audience}")
        token_id = claims.get("jti")
        if not isinstance(token_id, str) or not 1 <= len(token_id) <= 128:
            raise Unauthenticated("claim jti must be a text of 1 to 128 characters, new in each token")
        client = registered.client
        caller = Caller(client.id, client.kind, client.agencies, client.recipient_id, client.scopes, token_id)
        return Verified(caller, _bound_digest(claims, method, target))

    def _reload(self) -> None:
        if self._monotonic() < self._next_check:
            return
        self._next_check = self._monotonic() + self._check_seconds
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._clients = _read(self._path)
        except ConfigurationError as error:
            _log.error("the clients file is unusable, the last good one stays in force", error=error)
        else:
            _log.info("the clients file was read again", count=len(self._clients))


def check_body(verified: Verified, body: bytes) -> None:
    """Raises Unauthenticated when the token binds another body."""
    if verified.body_digest is not None and not hmac.compare_digest(
        verified.body_digest.encode(), body_digest(body).encode()
    ):
        raise Unauthenticated("claim bsha must be the SHA-256 of the body, in base64url without padding")


def body_digest(body: bytes) -> str:
    return urlsafe_b64encode(sha256(body).digest()).rstrip(b"=").decode()


def sign_request(
    key: SigningKey | Mapping[str, Any],
    client_id: str,
    *,
    method: str,
    path: str,
    body: bytes,
    now: datetime,
    audience: str = AUDIENCE,
    lifetime: timedelta = timedelta(minutes=2),
    jti: str | None = None,
) -> str:
    """The token for one request, for the header `Authorization: Bearer ...`. `path` takes the query along, if any."""
    signer = key if isinstance(key, ECKey | OKPKey) else _import(dict(key))
    issued = int(now.timestamp())
    header = {"alg": "ES256" if isinstance(signer, ECKey) else "Ed25519"}
    if signer.kid:
        header["kid"] = signer.kid
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "jti": jti or secrets.token_urlsafe(16),
        "htm": method.upper(),
        "htp": path,
        "bsha": body_digest(body),
    }
    return jwt.encode(header, claims, signer, registry=_jws)


def generate_key(kid: str | None = None) -> OKPKey:
    """A new Ed25519 key pair; `key.as_dict(private=True)` is the JWK to keep, see also `save_key`."""
    key = OKPKey.generate_key("Ed25519", {"kid": kid or "key-" + secrets.token_hex(8), "use": "sig"}, private=True)
    return key


def save_key(key: SigningKey, path: Path) -> None:
    """Keeps a private JWK in a new file with mode 0600. Raises FileExistsError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(orjson.dumps(key.as_dict(private=True)))


def load_key(path: Path) -> SigningKey:
    """The private JWK of a file. Raises ConfigurationError."""
    try:
        return _import(orjson.loads(path.read_bytes()))
    except (OSError, ValueError, JoseError) as error:
        raise ConfigurationError(f"{path} holds no private JWK ({type(error).__name__})") from None


def client_entry(
    client_id: str,
    kind: Kind,
    key: SigningKey,
    *,
    scopes: frozenset[str] | set[str],
    agencies: frozenset[str] | set[str] = frozenset(),
    recipient_id: str | None = None,
) -> dict[str, Any]:
    """What the clients file says about a client; holds the public half of the key only."""
    return {
        "id": client_id,
        "kind": kind,
        "agencies": sorted(agencies),
        "recipient_id": recipient_id,
        "scopes": sorted(scopes),
        "keys": [key.as_dict(private=False)],
    }


def write_clients(path: Path, entries: list[dict[str, Any]]) -> None:
    """Replaces the clients file in one step."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    draft.write_bytes(orjson.dumps({"clients": entries}, option=orjson.OPT_INDENT_2))
    os.replace(draft, path)


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token that nobody has verified yet."""
    if len(token) > _LONGEST_TOKEN:
        raise Unauthenticated(f"the token is longer than {_LONGEST_TOKEN} bytes")
    try:
        header, claims = (orjson.loads(_decoded(part)) for part in token.split(".")[:2])
    except ValueError:
        raise Unauthenticated("the token is not a signed JWT in compact form") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Unauthenticated("the token is not a signed JWT in compact form")
    if header.get("alg") not in ALGORITHMS:
        raise Unauthenticated("the token must be signed with ES256 or Ed25519")
    if not header.keys() <= _HEADER_MEMBERS:
        raise Unauthenticated("the token's header may hold alg, kid, typ and cty only")
    return header, claims


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _signed_claims(token: str, header: dict[str, Any], keys: tuple[SigningKey, ...]) -> dict[str, Any] | None:
    wanted = ECKey if header["alg"] == "ES256" else OKPKey
    for key in keys:
        if isinstance(key, wanted) and header.get("kid") in (None, key.kid):
            try:
                return jwt.decode(token, key, registry=_jws).claims
            except (JoseError, ValueError):
                continue
    return None


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued, expires, begins = _seconds(claims, "iat"), _seconds(claims, "exp"), _seconds(claims, "nbf", 0)
    if expires <= now:
        raise Unauthenticated("the token has expired: sign a new one for each request")
    if expires - issued > LONGEST_LIFE.total_seconds():
        raise Unauthenticated("claim exp must be at most 5 minutes after iat")
    if max(issued, begins) > now + LEEWAY.total_seconds():
        raise Unauthenticated("the token is not valid yet: set the clock right")


def _seconds(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    moment = claims.get(name, default)
    if not isinstance(moment, int | float) or isinstance(moment, bool):
        raise Unauthenticated("claims iat and exp (and nbf, if there) must be numbers of seconds")
    return moment


def _bound_digest(claims: dict[str, Any], method: str, target: str) -> str | None:
    """The body digest that the token binds; of a request that changes nothing the token need not bind anything."""
    bound = {"htm": method, "htp": target}
    for name, actual in bound.items():
        if (name in claims or method not in SAFE_METHODS) and claims.get(name) != actual:
            raise Unauthenticated("claims htm and htp must be the method and the path of the request")
    digest = claims.get("bsha")
    if digest is None and method in SAFE_METHODS:
        return None
    if not isinstance(digest, str):
        raise Unauthenticated("claim bsha must be the SHA-256 of the body, in base64url without padding")
    return digest


def _import(jwk: dict[str, Any]) -> SigningKey:
    key = JWKRegistry.import_key(jwk)
    if isinstance(key, ECKey) and key.curve_name == "P-256":
        return key
    if isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        return key
    raise ValueError("the key must be on the curve P-256 or Ed25519")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _read(path: Path) -> dict[str, _Registered]:
    try:
        content = path.read_bytes()
        document = orjson.loads(content) if path.suffix == ".json" else yaml.safe_load(content)
        clients = [Client.model_validate(entry) for entry in document["clients"]]
    except OSError as error:
        raise ConfigurationError(f"the clients file {path} cannot be read ({error.strerror})") from None
    except (ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        places = [".".join(map(str, e["loc"])) for e in error.errors()] if isinstance(error, ValidationError) else []
        raise ConfigurationError(f"the clients file {path} is malformed {', '.join(places)}".rstrip()) from None
    registered: dict[str, _Registered] = {}
    for client in clients:
        if client.id in registered:
            raise ConfigurationError(f"the clients file {path} names client {client.id} twice")
        if any("d" in jwk for jwk in client.keys):
            raise ConfigurationError(f"the clients file {path} holds a private key of client {client.id}: replace it")
        try:
            keys = tuple(_import(dict(jwk)) for jwk in client.keys)
        except (JoseError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"the clients file {path} has an unusable key for client {client.id} ({type(error).__name__})"
            ) from None
        registered[client.id] = _Registered(client, keys)
    return registered
