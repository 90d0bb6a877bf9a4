"""Settings of the audit service."""

from typing import Annotated

from pydantic import Field

from kernel.settings import ServiceSettings


class AuditSettings(ServiceSettings):
    audit_checkpoint_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        1.0, description="Time between looks for news to checkpoint and for gaps, in seconds."
    )
    audit_gap_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="How long a numbered event may be missing from the trail before the alarm, in seconds."
    )
    jurisdiction: str = Field("MO", description="State whose law applies: a code of `law/jurisdictions`.")
