"""Settings of the router, in addition to those of every service."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kernel.errors import ConfigurationError
from kernel.settings import ServiceSettings


class RouterSettings(ServiceSettings):
    """`FIRSTNOTICE_ROUTER_*` but for the port and the endpoints file."""

    port: Annotated[int, Field(ge=0, le=65535)] = Field(8471, description="Port to listen on; 0 takes any free one.")
    endpoints_file: Path = Field(
        description="Endpoints of the recipients with their signing keys (YAML or JSON), mode 0600, beside the keyset."
    )
    policy_overrides: dict[str, str] = Field(
        default_factory=dict,
        description='Values that replace those of `law/policy.yaml`, as JSON: `{"juvenile_review_after": "PT5S"}`.',
    )
    router_owner: str = Field(
        "delivery_operator", description="Who has to act when a notice is held; named in `notice.held` events."
    )
    router_deadline_seconds: Annotated[float, Field(gt=0, le=30)] = Field(
        15.0, description="Time for one attempt, from asking the name to the end of the response."
    )
    router_lease_seconds: Annotated[float, Field(ge=5, le=600)] = Field(
        60.0, description="How long a worker owns a notice that it has claimed; longer than the deadline."
    )
    router_retry_base_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5, description="Bound of the first wait after a failed attempt; doubled each time."
    )
    router_retry_cap_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        300.0, description="Longest wait between two attempts."
    )
    router_held_retry_seconds: Annotated[float, Field(gt=0, le=86400)] = Field(
        3600.0, description="How often a held notice is tried all the same."
    )
    router_most_in_memory: Annotated[int, Field(ge=16, le=100_000)] = Field(
        8192, description="Notices that one courier holds in memory at most; the others wait in the database."
    )

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if self.router_lease_seconds < 2 * self.router_deadline_seconds:
            raise ConfigurationError("FIRSTNOTICE_ROUTER_LEASE_SECONDS must be twice the deadline at least")
