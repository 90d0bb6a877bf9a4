"""A short campaign of every kind of fault, in each mode: nothing accepted is lost, doubled or out of order.

`make faults` runs longer ones, with other seeds.
"""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from launcher.postgres import EmbeddedPostgres
from tests.faults.campaign.driver import Plan, run
from tests.faults.campaign.kinds import kinds
from tests.faults.campaign.raising import raised
from tests.faults.campaign.verdict import Findings

SEED = 20261128
SHORT = Plan(seed=SEED, seconds=45, kinds=frozenset(kinds(kafka=True)), longest=6, gaps=(0.2, 2.5), settles=180)
"""Long enough for each kind once."""
SHOWN = 20
"""Findings of one sort that a failure shows."""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


async def test_embedded_a_campaign_finds_nothing(
    tmp_path: Path, postgres_factory: Callable[[], EmbeddedPostgres]
) -> None:
    await campaign(tmp_path, postgres_factory(), kafka=False)


@pytest.mark.kafka
async def test_in_a_cluster_a_campaign_finds_nothing(
    tmp_path: Path, postgres_factory: Callable[[], EmbeddedPostgres]
) -> None:
    await campaign(tmp_path, postgres_factory(), kafka=True)


async def campaign(folder: Path, postgres: EmbeddedPostgres, *, kafka: bool) -> None:
    async with raised(folder, postgres, kafka=kafka, seed=SEED) as ground:
        result = await run(ground, SHORT)
        shown = result.shown(SHOWN)
        told = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
        assert result.findings == Findings(), f"{told}\n{ground.world.logs()}"
        assert set(shown["faults"]) == set(kinds(kafka=kafka)), "some kind of fault did not strike"
        assert min(shown["encounters_accepted"], shown["amendments_accepted"], shown["retracted"]) > 0
