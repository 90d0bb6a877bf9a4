"""Every kind of fault by name. What needs a broker is only there with one."""

from functools import partial

from tests.faults.campaign.plan import Draw
from tests.faults.campaign.processes import Kill, Pause, PauseReplica, Rebalance
from tests.faults.campaign.servers import Drawing
from tests.faults.campaign.strangers import SHAPES, Stranger
from tests.faults.campaign.tables import Away, Column, Rights

_POSTGRES, _KAFKA = Drawing("postgres"), Drawing("kafka")

_ANYWHERE: dict[str, Draw] = {
    "kill": Kill.draw,
    "pause": Pause.draw,
    "rebalance": Rebalance.draw,
    "pause-replica": PauseReplica.draw,
    "postgres-kill": _POSTGRES.killed,
    "postgres-restart": _POSTGRES.restarted,
    "postgres-swallowed": _POSTGRES.swallowed,
    "postgres-reset": _POSTGRES.reset,
    "column": Column.draw,
    "table-away": Away.draw,
    "rights": Rights.draw,
}

_WITH_KAFKA: dict[str, Draw] = {
    "kafka-kill": _KAFKA.killed,
    "kafka-restart": _KAFKA.restarted,
    "kafka-swallowed": _KAFKA.swallowed,
    "kafka-reset": _KAFKA.reset,
}


def kinds(*, kafka: bool) -> dict[str, Draw]:
    strangers: dict[str, Draw] = {
        name: partial(Stranger.draw, name) for name, shape in SHAPES.items() if kafka or not shape.needs_kafka
    }
    return _ANYWHERE | strangers | (_WITH_KAFKA if kafka else {})
