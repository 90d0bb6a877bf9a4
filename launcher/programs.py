"""The example recipients by name: whom each stands for, and how the router's endpoints file calls them."""

from dataclasses import dataclass

CIRCUITS = 46
"""Judicial circuits of Missouri; each has a juvenile officer (`law/directory/mo_circuits.csv`)."""


@dataclass(frozen=True)
class Program:
    """One receiving program. It answers for each of its recipients at the path `/<recipient id>`."""

    name: str
    title: str
    endpoint: str
    """Its entry in the endpoints file: a recipient id, or a pattern of them."""
    recipients: tuple[str, ...]
    port: int
    """Where it listens by default."""
    scopes: frozenset[str] = frozenset()
    """What its recipients may do beside acknowledging notices."""


_MATCHING = frozenset({"determinations:read", "eligibility:screen"})
"""To determine which programs the person may have is the department's task, s. 566.223 RSMo."""

PROGRAMS = {
    program.name: program
    for program in (
        Program("dss", "Missouri Department of Social Services", "mo-dss", ("mo-dss",), 8480, _MATCHING),
        Program(
            "juvenile-officers",
            "Juvenile officers of all circuits",
            "mo-jo-*",
            tuple(f"mo-jo-{circuit}" for circuit in range(1, CIRCUITS + 1)),
            8481,
        ),
        Program("hhs", "HHS Office on Trafficking in Persons", "us-hhs-otip", ("us-hhs-otip",), 8482),
    )
}
