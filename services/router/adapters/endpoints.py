"""Where recipients are reached, from a file of the operator's that lies beside the keyset; reloaded when it changes."""

import hashlib
import stat
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kernel.errors import ConfigurationError
from services.router.domain.classification import Confirmation
from services.router.domain.signing import Signer

RecipientId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]


class EndpointSpec(BaseModel):
    """One entry of the file. Secrets and keys: the newest first; all of them sign, so that both sides may rotate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """https, or http for an endpoint with `allowed_cidrs`; `{recipient_id}` is filled in."""
    secrets: tuple[str, ...] = Field(default=(), repr=False)
    """v1: `whsec_` + base64."""
    private_keys: tuple[str, ...] = Field(default=(), repr=False)
    """v1a: `whsk_` + base64."""
    sign_with: tuple[Literal["v1", "v1a"], ...] | None = None
    """Which of the given keys sign; without it all of them."""
    allowed_cidrs: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that this endpoint may be in, instead of the public internet."""
    confirmation: Confirmation = "receipt"
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    rate: Annotated[float, Field(gt=0)] | None = None
    """Attempts per second at most."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust in addition, for a private authority."""
    identity_file: Path | None = None
    """Our certificate and key (PEM), for recipients that demand one."""

    @model_validator(mode="after")
    def _reachable(self) -> "EndpointSpec":
        parts = urlsplit(self.url.replace("{recipient_id}", "x"))
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.fragment:
            raise ValueError("url must be https://host/..., without user or fragment")
        if parts.scheme == "http" and not self.allowed_cidrs:
            raise ValueError("url must be https, except for an endpoint with allowed_cidrs")
        return self


class EndpointsFile(BaseModel):
    """The whole file: recipient ids, or patterns such as `mo-jo-*`, to entries. An exact id goes before a pattern."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoints: dict[str, EndpointSpec]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how one recipient is reached now."""

    recipient_id: str
    url: str
    host: str
    port: int
    allowed_networks: tuple[IPv4Network | IPv6Network, ...]
    confirmation: Confirmation
    concurrency: int
    rate: float | None
    signer: Signer = field(repr=False)
    trusted_certificates: bytes | None = field(repr=False)
    client_identity: bytes | None = field(repr=False)
    fingerprint: str
    """Changes with anything above; tells nothing about the keys."""


class Endpoints:
    """The endpoints of the file, by recipient. `refresh` looks whether the file changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._specs: dict[str, EndpointSpec] = {}
        self._endpoints: dict[str, Endpoint | None] = {}
        """Made so far; patterns are filled in when their first recipient comes."""

    @classmethod
    def load(cls, path: Path) -> "Endpoints":
        """Raises ConfigurationError when the file is missing, readable by others, or malformed."""
        endpoints = cls(path)
        endpoints.refresh()
        return endpoints

    def refresh(self) -> bool:
        """Reads the file again if it changed; True if it did. A broken file raises ConfigurationError and changes
        nothing: the endpoints of before stay in force."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen:
                return False
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigurationError(
                    "the endpoints file holds keys: make it readable by its owner only (chmod 600)"
                )
            specs = _parse(self._path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"the endpoints file cannot be read ({type(error).__name__})") from None
        self._endpoints = {name: _endpoint(name, spec, self._path.parent) for name, spec in specs.items()}
        self._specs = specs
        self._seen = seen
        return True

    def get(self, recipient_id: str) -> Endpoint | None:
        """The recipient's endpoint; None if nobody registered one."""
        if recipient_id not in self._endpoints:
            entry = self.entry_of(recipient_id)
            self._endpoints[recipient_id] = (
                _endpoint(recipient_id, self._specs[entry], self._path.parent) if entry is not None else None
            )
        return self._endpoints[recipient_id]

    def entry_of(self, recipient_id: str) -> str | None:
        """The entry of the file that serves this recipient."""
        if recipient_id in self._specs:
            return recipient_id
        return next((name for name in self._specs if "*" in name and fnmatchcase(recipient_id, name)), None)

    def fingerprints(self) -> dict[str, str]:
        """Of every entry of the file, by its name."""
        return {name: _endpoint(name, spec, self._path.parent).fingerprint for name, spec in self._specs.items()}


def _parse(content: bytes) -> dict[str, EndpointSpec]:
    try:
        return EndpointsFile.model_validate(yaml.safe_load(content)).endpoints
    except yaml.YAMLError:
        raise ConfigurationError("the endpoints file is neither YAML nor JSON") from None
    except ValidationError as error:
        # Input values hold keys: only places and reasons are told.
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise ConfigurationError(f"the endpoints file is wrong: {where}") from None


def _endpoint(recipient_id: str, spec: EndpointSpec, folder: Path) -> Endpoint:
    url = spec.url.replace("{recipient_id}", recipient_id)
    parts = urlsplit(url)
    schemes = spec.sign_with or ("v1", "v1a")
    try:
        signer = Signer.of(spec.secrets if "v1" in schemes else (), spec.private_keys if "v1a" in schemes else ())
        trusted = (folder / spec.ca_file).read_bytes() if spec.ca_file else None
        identity = (folder / spec.identity_file).read_bytes() if spec.identity_file else None
    except ConfigurationError as error:
        raise ConfigurationError(f"endpoint of {recipient_id}: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"endpoint of {recipient_id}: a file cannot be read ({error.strerror})") from None
    content: Any = [recipient_id, spec.model_dump(mode="json"), (trusted or b"").hex(), (identity or b"").hex()]
    return Endpoint(
        recipient_id=recipient_id,
        url=url,
        host=parts.hostname or "",
        port=parts.port or (443 if parts.scheme == "https" else 80),
        allowed_networks=spec.allowed_cidrs,
        confirmation=spec.confirmation,
        concurrency=spec.concurrency,
        rate=spec.rate,
        signer=signer,
        trusted_certificates=trusted,
        client_identity=identity,
        fingerprint=hashlib.sha256(orjson.dumps(content)).hexdigest(),
    )
