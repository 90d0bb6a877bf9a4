"""Settings of every service: environment variables with the prefix `FIRSTNOTICE_`, all listed in `docs/settings.md`."""

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from kernel.errors import ConfigurationError

PREFIX = "FIRSTNOTICE_"

_KIB = 1024

Settings = TypeVar("Settings", bound=BaseSettings)


class HttpSettings(BaseSettings):
    """What bounds a request before anything of it is believed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0, description="Port to listen on; 0 takes any free one."
    )
    token_audience: str = Field(
        default="firstnotice", description="Audience (`aud`) that every request token has to name."
    )
    body_limit: Annotated[int, Field(ge=1, le=4 * _KIB * _KIB)] = Field(
        default=64 * _KIB, description="Largest request body, in bytes."
    )
    header_limit: Annotated[int, Field(ge=_KIB, le=64 * _KIB)] = Field(
        default=16 * _KIB, description="Largest request line and headers together, in bytes."
    )
    read_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        default=10.0, description="Time in which the headers, and then the body, must have arrived, in seconds each."
    )
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=200, description="Requests handled at the same time; further ones are answered 503 with Retry-After."
    )
    metrics_open: bool = Field(
        default=True, description="Whether /metrics answers without a token; if not, it takes the scope `metrics:read`."
    )
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        default=0.0, description="Time between /readyz turning 503 and the end of listening, in seconds."
    )
    stop_seconds: Annotated[int, Field(ge=1, le=300)] = Field(
        default=10, description="Time that open requests get to finish when the service stops, in seconds."
    )


class ServiceSettings(HttpSettings):
    """What every service needs; each adds its own in its `settings.py`."""

    database_dsn: str = Field(description="PostgreSQL (15 or newer), as a libpq URI.", repr=False)
    database_pool: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="Connections to the database.")
    member: str | None = Field(
        default=None,
        description="Name of this replica in its consumer group, if it always comes back under it (Kafka's static "
        "membership); absent: replicas come and go, which is what most want.",
    )
    inbox_days: Annotated[int, Field(ge=30, le=3650)] = Field(
        default=90, description="How long it is remembered that an event was handled, in days."
    )
    bus: Literal["embedded", "kafka"] = Field(
        default="embedded", description="Event log: `embedded` (in PostgreSQL) or `kafka`."
    )
    kafka_bootstrap_servers: str | None = Field(
        default=None, description="Kafka brokers, `host:port` with commas; needed when the bus is `kafka`."
    )
    keyset_file: Path = Field(
        description="Key-encryption keys, mode 0600, outside the data directory and backed up apart from it."
    )
    key_cache_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        default=5.0, description="How long a data key stays in memory, in seconds: an erasure takes effect within it."
    )
    clients_file: Path = Field(description="Registered clients and their public keys (YAML or JSON).")
    law_path: Path | None = Field(
        default=None, description="Folder of the law data; absent: the one that is installed."
    )
    law_unsealed: bool = Field(
        default=False,
        description="For development: apply law that `firstnotice law archive` did not seal; its answers cannot be "
        "replayed.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level of log lines."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`json`, `console`, or `auto`: console on a terminal, else JSON."
    )

    def model_post_init(self, context: Any, /) -> None:
        if self.bus == "kafka" and not self.kafka_bootstrap_servers:
            raise ConfigurationError(f"set {PREFIX}KAFKA_BOOTSTRAP_SERVERS, or {PREFIX}BUS=embedded")


def load_settings(cls: type[Settings], **values: Any) -> Settings:
    """Settings from the environment; `values` go before it.

    Raises ConfigurationError that names each variable that is missing or wrong, and never says what was in it.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        names = dict.fromkeys(PREFIX + str(problem["loc"][0]).upper() for problem in error.errors() if problem["loc"])
        raise ConfigurationError(
            f"missing or wrong: {', '.join(names)} (docs/settings.md says what each takes)"
        ) from None


def settings_table(*classes: type[BaseSettings]) -> str:
    """The table of `docs/settings.md`: every setting of these classes once, with what it takes and its default."""
    fields = {name: info for cls in classes for name, info in cls.model_fields.items()}
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_takes(info)} | {_default(info)} | {info.description} |"
        for name, info in fields.items()
    ]
    return "\n".join(["| variable | takes | default | what it is |", "|---|---|---|---|", *rows]) + "\n"


def _takes(info: FieldInfo) -> str:
    bounds = {name: getattr(rule, name) for rule in info.metadata for name in ("ge", "gt", "le") if hasattr(rule, name)}
    text = _type_name(info.annotation)
    if "ge" in bounds:
        text += f", at least {bounds['ge']}"
    if "gt" in bounds:
        text += f", above {bounds['gt']}"
    if "le" in bounds:
        text += f", at most {bounds['le']}"
    return text


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_type_name(part) for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is dict:
        return "JSON object"
    names = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Path: "path"}
    name: str = names[annotation]
    return name


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    if default is None:
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
