"""Published events stay until all have handled them; parked ones are tried again on a timer."""

from alembic import op

from kernel.events.schema import MESSAGING_V2

revision = "router_0002"
down_revision = "router_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in MESSAGING_V2:
        op.execute(statement)
