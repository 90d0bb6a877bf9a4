"""Where the time goes, as the services themselves measure it: their histograms of hops, before and after."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Hops = Mapping[tuple[str, str], Mapping[float, float]]
"""By service and hop, how many took at most so many seconds."""


async def read_hops(http: aiohttp.ClientSession, there: Any) -> Hops:
    """Now. Services that share a process tell of each other's, too."""
    found: dict[tuple[str, str], dict[float, float]] = {}

    async def read(url: str) -> None:
        async with http.get(url) as answer:
            for family in text_string_to_metric_families(await answer.text()):
                for sample in family.samples:
                    if sample.name == "firstnotice_hop_seconds_bucket":
                        hop = (sample.labels["service"], sample.labels["kind"])
                        found.setdefault(hop, {})[float(sample.labels["le"])] = sample.value

    await asyncio.gather(*(read(url) for url in there.metrics))
    return found


def percentiles_of_hops(before: Hops, after: Hops) -> dict[str, dict[str, float]]:
    """What happened between: milliseconds that half, and 99 of 100, took at most, as far as the buckets tell."""
    result = {}
    for hop, counts in sorted(after.items()):
        new = {edge: count - before.get(hop, {}).get(edge, 0.0) for edge, count in sorted(counts.items())}
        total = max(new.values())
        if total:
            result[" ".join(hop)] = {
                f"p{share}": _milliseconds(next(edge for edge, count in new.items() if count >= total * share / 100))
                for share in (50, 99)
            } | {"count": total}
    return result


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
