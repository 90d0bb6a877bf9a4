"""When to try again: full jitter under a cap, for ever; there is no last attempt."""

from collections.abc import Callable
from dataclasses import dataclass

Uniform = Callable[[float, float], float]
"""A number between the two, such as `random.uniform`."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Policy of waiting, in seconds."""

    base: float = 0.5
    cap: float = 300.0
    longest_retry_after: float = 3600.0
    """An endpoint may ask for more patience than the cap, but not put us off for ever."""

    def delay(self, attempt: int, uniform: Uniform) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1): up to `base` doubled each time, or `cap`.

        Full jitter, so that a thousand notices which failed together do not come back together.
        """
        # Doubling 64 times is far above any cap and still a finite float.
        bound = min(self.cap, self.base * 2.0 ** min(attempt, 64))
        return uniform(self.base / 2, bound)

    def asked(self, retry_after: float, uniform: Uniform) -> float:
        """Seconds to wait when the endpoint named a time: never earlier, a little jitter later, within reason."""
        wanted = min(max(retry_after, 0.0), self.longest_retry_after)
        return wanted + uniform(0.0, max(self.base, wanted * 0.1))
