"""Codes of published lists that reports and events use."""

from typing import Annotated, Literal

from pydantic import StringConstraints

OriCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}[A-Z0-9]{7}$")]
"""Originating agency identifier (FBI CJIS), nine characters. Never used to infer the county."""

CountyFips = Annotated[str, StringConstraints(pattern=r"^\d{5}$")]
"""County code, FIPS 6-4: two digits of the state, three of the county."""

Citizenship = Literal[
    "us_citizen",
    "us_national",
    "lpr",
    "refugee",
    "asylee",
    "withholding",
    "cuban_haitian_entrant",
    "cofa_citizen",
    "parolee_1y_plus",
    "t_nonimmigrant",
    "t_pending_prima_facie",
    "u_nonimmigrant",
    "u_pending",
    "vawa_self_petitioner",
    "sij",
    "tps",
    "daca",
    "other_lawful",
    "undocumented",
    "unknown",
    "refused",
]
"""Status of a person as far as it was learnt; `unknown` was asked and not known, `refused` was not answered."""
