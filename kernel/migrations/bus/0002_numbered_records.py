"""Sequence numbers beside the headers of a record."""

from alembic import op

from kernel.events.schema import EMBEDDED_LOG_V2

revision = "bus_0002"
down_revision = "bus_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in EMBEDDED_LOG_V2:
        op.execute(statement)
