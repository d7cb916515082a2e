"""uploads, tickets and webhooks

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from scigate.gateway_api.db.schema import PathBytes

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.drop_index("ix_file_staged", "file")
    _upload()
    _ticket()
    _webhook()


def downgrade() -> None:
    for name in ("webhook", "ticket", "upload"):
        op.drop_table(name)
    where = sa.text("source_storage = 'staging'")
    op.create_index("ix_file_staged", "file", ["source_path"], sqlite_where=where, postgresql_where=where)


def _upload() -> None:
    op.create_table(
        "upload",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("gateway", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("file", _SERIAL),
        sa.Column("parts", sa.Text()),
        sa.Column("whole", _SERIAL),
        sa.Column("name", PathBytes()),
        sa.Column("metadata", sa.Text()),
        sa.Column("modified", sa.Double()),
        sa.Column("promised", sa.Text()),
        sa.Column("length", sa.BigInteger()),
        sa.Column("received", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("crc64nvme", sa.String(length=16), server_default=sa.text("'0000000000000000'"), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double()),
        sa.Column("completed", sa.Double()),
        sa.Column("released", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended", sa.Double()),
        sa.Column("end", sa.String(length=10)),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_upload")),
        sa.ForeignKeyConstraint(["file"], ["file.seq"], name=op.f("fk_upload_file")),
        sa.ForeignKeyConstraint(["whole"], ["upload.seq"], name=op.f("fk_upload_whole")),
        sa.UniqueConstraint("id", name=op.f("uq_upload_id")),
        sa.UniqueConstraint("file", name=op.f("uq_upload_file")),
    )
    op.create_index(op.f("ix_upload_owner_seq"), "upload", ["owner", "seq"])
    where = sa.text("ended IS NULL")
    op.create_index("ix_upload_open", "upload", ["gateway"], sqlite_where=where, postgresql_where=where)


def _ticket() -> None:
    op.create_table(
        "ticket",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_ticket")),
    )


def _webhook() -> None:
    op.create_table(
        "webhook",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("topics", sa.Text(), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", sa.Double()),
        sa.Column("next_try", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cause", sa.Text()),
        sa.Column("worker", sa.String(length=64)),
        sa.Column("lease_until", sa.Double()),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_webhook")),
        sa.UniqueConstraint("id", name=op.f("uq_webhook_id")),
    )
    op.create_index(op.f("ix_webhook_owner_seq"), "webhook", ["owner", "seq"])
