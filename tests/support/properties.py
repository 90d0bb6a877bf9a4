"""How often each property is tried: decided here, for all of them.

`make test` tries each as often as its test says. `make check` tries a part of that, with the same examples at each run:
what fails there fails again. No example has a deadline, for a busy machine is no finding.
"""

from hypothesis import HealthCheck, settings

PART = "part"
"""The profile of `make check`."""

_WHOLE = 100
settings.register_profile(
    "whole", max_examples=_WHOLE, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(PART, settings.get_profile("whole"), max_examples=_WHOLE // 4, derandomize=True)
settings.load_profile("whole")


def tried(times: int) -> settings:
    """Decorates a property that is tried more or less often than a hundred times."""
    return settings(max_examples=max(10, times * settings().max_examples // _WHOLE))
