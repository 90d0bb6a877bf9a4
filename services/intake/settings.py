"""Settings of intake, beside those of every service."""

from typing import Annotated

from pydantic import Field

from kernel.settings import ServiceSettings


class IntakeSettings(ServiceSettings):
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8470, description="Port to listen on; 0 takes any free one.")
    jurisdiction: str = Field("MO", description="Jurisdiction whose law applies to what is reported here.")
    remember_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        90, description="How long Idempotency-Keys and their answers are kept, in days."
    )
