"""when transfers begin, and how fast attempts were

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("transfer", sa.Column("firm", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("transfer", sa.Column("not_before", sa.Double()))
    op.add_column("transfer", sa.Column("starts", sa.Double()))
    where = sa.text("starts IS NOT NULL")
    op.create_index("ix_transfer_starts", "transfer", ["starts"], sqlite_where=where, postgresql_where=where)
    _attempt()


def downgrade() -> None:
    op.drop_table("attempt")
    op.drop_index("ix_transfer_starts", "transfer")
    for name in ("starts", "not_before", "firm"):
        op.drop_column("transfer", name)


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("transfer", _SERIAL, nullable=False),
        sa.Column("file", _SERIAL, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("destination", sa.String(length=63), nullable=False),
        sa.Column("began", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("rate", sa.Double()),
        sa.Column("points", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_attempt")),
        sa.ForeignKeyConstraint(["transfer"], ["transfer.seq"], name=op.f("fk_attempt_transfer")),
        sa.ForeignKeyConstraint(["file"], ["file.seq"], name=op.f("fk_attempt_file")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_attempt_transfer_seq"), "attempt", ["transfer", "seq"])
