"""What every kind of law file is made of: names, citations, and periods without gap or overlap."""

from datetime import date
from itertools import pairwise
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from rulebook.conditions import Node

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,80}$")]
FactId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Line = Annotated[str, StringConstraints(min_length=1)]
Lines = Annotated[tuple[Line, ...], Field(strict=False)]
Cited = Annotated[tuple[Line, ...], Field(strict=False, min_length=1)]


class Period(Node):
    """From a day on, up to and not including `until`."""

    from_: date = Field(alias="from")
    until: date | None = None

    @model_validator(mode="after")
    def _forward(self) -> "Period":
        if self.until is not None and self.until <= self.from_:
            raise ValueError("until must be later than from")
        return self

    def holds(self, day: date) -> bool:
        return self.from_ <= day and (self.until is None or day < self.until)

    def days(self) -> set[date]:
        """On which it begins and ends."""
        return {self.from_} if self.until is None else {self.from_, self.until}


def follow_on(periods: list[Period]) -> None:
    """Raises ValueError where versions leave a gap or overlap."""
    for earlier, later in pairwise(periods):
        if earlier.until != later.from_:
            raise ValueError(
                f"versions leave a gap or overlap: write until: {later.from_} in the one before, oldest version first"
            )
