"""The embedded event log."""

from alembic import op

from kernel.events.schema import EMBEDDED_LOG_V1

revision = "bus_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in EMBEDDED_LOG_V1:
        op.execute(statement)
