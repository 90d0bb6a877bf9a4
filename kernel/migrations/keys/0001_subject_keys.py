"""Where subjects' data keys live."""

from alembic import op

from kernel.subject_keys import KEYS_V1

revision = "keys_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in KEYS_V1:
        op.execute(statement)
