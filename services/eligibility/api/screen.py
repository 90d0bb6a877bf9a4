"""POST /v1/screen: what somebody may be eligible for, without a record of them."""

import os
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from contracts.facts import Screening
from kernel.http.gate import require
from kernel.identity import Caller
from kernel.sealing import SALT_BYTES
from services.eligibility.api.answers import Answers, present
from services.eligibility.application.screening import Screener

SCOPE = "eligibility:screen"


class NextQuestion(BaseModel):
    fact: str = Field(description="Id in the law's fact catalogue.")
    question: str
    could_settle: int = Field(description="How many programs the answer could settle alone.")


class ScreeningAnswers(Answers):
    next_question: NextQuestion | None = Field(description="The one question to ask next; null if none may be asked.")
    facts_digest: str = Field(
        description="SHA-256, in hex, over the salt and the facts: `firstnotice law replay` holds a report against it."
    )
    facts_salt: str = Field(description="In hex, and new with every answer.")


def router(screener: Screener, *, random: Callable[[int], bytes] = os.urandom) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["screening"])

    @routes.post("/screen")
    async def screen(body: Screening, caller: Annotated[Caller, Depends(require(SCOPE))]) -> ScreeningAnswers:
        """Facts in, answers out: all programs as of now, and what to ask next.

        Nothing is stored and no event is published, so that asking costs the person nothing.
        """
        salt = random(SALT_BYTES)
        told = present(screener.screen(body, salt), screener.law)
        return ScreeningAnswers.model_validate(told | {"facts_salt": salt.hex()})

    return routes
