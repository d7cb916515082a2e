"""first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _event()
    _idempotency()
    _lane()
    _transfer()
    _worker()
    _file()
    _file_indexes()
    _walk()
    _block()
    _draft()


def downgrade() -> None:
    for name in ("draft", "block", "walk", "file", "worker", "transfer", "lane", "idempotency", "event"):
        op.drop_table(name)


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("transfer", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("file", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_event_transfer_id"), ["transfer", "id"], unique=False)


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("transfer", sa.String(length=32), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency")),
    )


def _lane() -> None:
    op.create_table(
        "lane",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("destination", sa.String(length=63), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lane")),
        sa.UniqueConstraint("owner", "source", "destination", name=op.f("uq_lane_owner_source_destination")),
    )


def _transfer() -> None:
    op.create_table(
        "transfer",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=True),
        sa.Column("wish", sa.String(length=10), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("overwrite", sa.String(length=20), nullable=False),
        sa.Column("verify", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("deadline", sa.Double(), nullable=False),
        sa.Column("finished", sa.Double(), nullable=True),
        sa.Column("listing", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("queued", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("active", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("waiting", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("paused", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes_total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes_done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("proof", sa.String(length=1), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_transfer")),
        sa.UniqueConstraint("id", name=op.f("uq_transfer_id")),
    )
    with op.batch_alter_table("transfer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_transfer_owner_seq"), ["owner", "seq"], unique=False)
        batch_op.create_index(
            "ix_transfer_unsettled",
            ["seq"],
            unique=False,
            sqlite_where=sa.text("settled = 0"),
            postgresql_where=sa.text("NOT settled"),
        )


def _worker() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )


def _file() -> None:
    op.create_table(
        "file",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transfer", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lane", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("source_storage", sa.String(length=63), nullable=False),
        sa.Column("source_path", sa.LargeBinary(), nullable=False),
        sa.Column("destination_storage", sa.String(length=63), nullable=False),
        sa.Column("destination_path", sa.LargeBinary(), nullable=False),
        sa.Column("target", sa.LargeBinary(length=16), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("adoptable", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("restarts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_try", sa.Double(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("source_version", sa.Text(), nullable=True),
        sa.Column("source_modified", sa.Double(), nullable=True),
        sa.Column("bytes_done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("proof", sa.String(length=1), nullable=True),
        sa.Column("digests", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("finished", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["lane"], ["lane.id"], name=op.f("fk_file_lane")),
        sa.ForeignKeyConstraint(["transfer"], ["transfer.seq"], name=op.f("fk_file_transfer")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_file")),
        sa.UniqueConstraint("transfer", "target", name=op.f("uq_file_transfer_target")),
    )


def _file_indexes() -> None:
    with op.batch_alter_table("file", schema=None) as batch_op:
        batch_op.create_index(
            "ix_file_next_try",
            ["next_try"],
            unique=False,
            sqlite_where=sa.text("next_try IS NOT NULL"),
            postgresql_where=sa.text("next_try IS NOT NULL"),
        )
        batch_op.create_index("ix_file_queue", ["state", "lane", "rank", "seq"], unique=False)
        batch_op.create_index(
            "ix_file_staged",
            ["source_path"],
            unique=False,
            sqlite_where=sa.text("source_storage = 'staging'"),
            postgresql_where=sa.text("source_storage = 'staging'"),
        )
        batch_op.create_index("ix_file_transfer_state", ["transfer", "state", "seq"], unique=False)
        batch_op.create_index(
            "ix_file_worker",
            ["worker"],
            unique=False,
            sqlite_where=sa.text("worker IS NOT NULL"),
            postgresql_where=sa.text("worker IS NOT NULL"),
        )


def _walk() -> None:
    op.create_table(
        "walk",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transfer", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source_storage", sa.String(length=63), nullable=False),
        sa.Column("source_path", sa.LargeBinary(), nullable=False),
        sa.Column("destination_storage", sa.String(length=63), nullable=False),
        sa.Column("destination_path", sa.LargeBinary(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("next_try", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["transfer"], ["transfer.seq"], name=op.f("fk_walk_transfer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_walk")),
    )
    with op.batch_alter_table("walk", schema=None) as batch_op:
        batch_op.create_index(
            "ix_walk_open",
            ["next_try"],
            unique=False,
            sqlite_where=sa.text("done = 0"),
            postgresql_where=sa.text("NOT done"),
        )


def _block() -> None:
    op.create_table(
        "block",
        sa.Column("file", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("crc64nvme", sa.String(length=16), nullable=False),
        sa.Column("blake3", sa.String(length=64), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["file"], ["file.seq"], name=op.f("fk_block_file")),
        sa.PrimaryKeyConstraint("file", "number", name=op.f("pk_block")),
    )


def _draft() -> None:
    op.create_table(
        "draft",
        sa.Column("file", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("storage", sa.String(length=63), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("ref", sa.LargeBinary(), nullable=True),
        sa.Column("identity", sa.Text(), nullable=True),
        sa.Column("block_length", sa.BigInteger(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["file"], ["file.seq"], name=op.f("fk_draft_file")),
        sa.PrimaryKeyConstraint("file", "epoch", name=op.f("pk_draft")),
    )
