"""Settings of the eligibility service."""

from typing import Annotated

from pydantic import Field

from kernel.settings import ServiceSettings


class EligibilitySettings(ServiceSettings):
    jurisdiction: str = Field("MO", description="Jurisdiction whose law applies to what is reported here.")
    eligibility_reader_role: str = Field(
        "social_services",
        description="Role of the law's directory whose recipient may read determinations, beside operators.",
    )
    eligibility_due_poll_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        60.0, description="How often persons are sought whose answers may change today, in seconds."
    )
