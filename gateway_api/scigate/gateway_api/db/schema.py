"""The tables: the one durable truth of the gateway. Times are seconds since 1970, UTC; sizes are bytes."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up by itself only on INTEGER


def path_bytes(path: str) -> bytes:
    """A path as it is stored."""
    return path.encode("utf-8", "surrogateescape")


class PathBytes(TypeDecorator[str]):
    """A path, byte-exact: text columns refuse names that are not UTF-8, and collations would mix up twins."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else path_bytes(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else bytes(value).decode("utf-8", "surrogateescape")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


transfer: Final = Table(
    "transfer",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("owner", String(200), nullable=False),
    Column("label", String(200)),
    Column("wish", String(10), nullable=False),  # what its owner last asked for: run, pause, cancel
    Column("settled", Boolean, nullable=False),  # every file follows the wish
    Column("overwrite", String(20), nullable=False),
    Column("verify", String(20), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("deadline", Double, nullable=False),
    Column("firm", Boolean, nullable=False, server_default=text("false")),  # its owner has named the deadline
    Column("not_before", Double),  # when it is to begin, if its owner has said so
    Column("starts", Double),  # the same, as long as it has not begun
    Column("finished", Double),
    _count("listing"),  # folders that are not listed to their end yet
    _count("total"),
    _count("queued"),
    _count("active"),
    _count("waiting"),
    _count("paused"),
    _count("done"),
    _count("skipped"),
    _count("failed"),
    _count("cancelled"),
    _count("bytes_total"),
    _count("bytes_done"),
    Column("proof", String(1)),  # the weakest among its done files
    Column("cause", Text),  # JSON of the newest resources.Cause
    Index(None, "owner", "seq"),
    Index("ix_transfer_unsettled", "seq", sqlite_where=text("settled = 0"), postgresql_where=text("NOT settled")),
    Index(
        "ix_transfer_starts",
        "starts",
        sqlite_where=text("starts IS NOT NULL"),
        postgresql_where=text("starts IS NOT NULL"),
    ),
)

lane: Final = Table(
    "lane",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("source", String(63), nullable=False),  # '' for outside URLs
    Column("destination", String(63), nullable=False),
    UniqueConstraint("owner", "source", "destination"),
)

file: Final = Table(
    "file",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("transfer", Serial, ForeignKey("transfer.seq"), nullable=False),
    Column("lane", Serial, ForeignKey("lane.id"), nullable=False),
    Column("rank", Integer, nullable=False),  # 9 - priority: an index reads upwards
    Column("source_storage", String(63), nullable=False),  # '' when source_path is an outside URL
    Column("source_path", PathBytes, nullable=False),
    Column("destination_storage", String(63), nullable=False),
    Column("destination_path", PathBytes, nullable=False),
    Column("target", LargeBinary(16), nullable=False),  # digest of the destination: a path may be too long for an index
    Column("state", String(12), nullable=False),
    Column("epoch", Integer, nullable=False, server_default=text("0")),
    Column("worker", String(64)),
    Column("adoptable", Boolean, nullable=False, server_default=text("false")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # in a row, without progress between
    Column("restarts", Integer, nullable=False, server_default=text("0")),  # because the source changed
    Column("next_try", Double),
    Column("size", BigInteger),
    Column("source_version", Text),
    Column("source_modified", Double),
    Column("bytes_done", BigInteger, nullable=False, server_default=text("0")),
    Column("skipped", Boolean, nullable=False, server_default=text("false")),
    Column("proof", String(1)),
    Column("digests", Text),  # JSON
    Column("cause", Text),  # JSON of a resources.Cause
    Column("created", Double, nullable=False),
    Column("finished", Double),
    UniqueConstraint("transfer", "target"),
    Index("ix_file_queue", "state", "lane", "rank", "seq"),
    Index("ix_file_transfer_state", "transfer", "state", "seq"),
    Index(
        "ix_file_worker", "worker", sqlite_where=text("worker IS NOT NULL"), postgresql_where=text("worker IS NOT NULL")
    ),
    Index(
        "ix_file_next_try",
        "next_try",
        sqlite_where=text("next_try IS NOT NULL"),
        postgresql_where=text("next_try IS NOT NULL"),
    ),
)

block: Final = Table(
    "block",
    metadata,
    Column("file", Serial, ForeignKey("file.seq"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("crc64nvme", String(16), nullable=False),
    Column("blake3", String(64), nullable=False),
    Column("token", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
)

draft: Final = Table(
    "draft",
    metadata,
    Column("file", Serial, ForeignKey("file.seq"), primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("key", String(100), nullable=False),
    Column("storage", String(63), nullable=False),
    Column("path", PathBytes, nullable=False),
    Column("ref", PathBytes),
    Column("identity", Text),  # set in the same commit as PUBLISHING
    Column("block_length", BigInteger),
    Column("created", Double, nullable=False),
)

attempt: Final = Table(
    "attempt",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("transfer", Serial, ForeignKey("transfer.seq"), nullable=False),
    Column("file", Serial, ForeignKey("file.seq"), nullable=False),
    Column("number", Integer, nullable=False),  # its epoch
    Column("source", String(63), nullable=False),  # '' for outside URLs
    Column("destination", String(63), nullable=False),
    Column("began", Double, nullable=False),
    Column("ended", Double, nullable=False),
    Column("kind", String(8), nullable=False),  # see transfers.expected
    Column("rate", Double),  # bytes per second, if the file was DONE with it
    Column("points", Text, nullable=False),  # JSON: [seconds since began, bytes per second], at most 120
    Index(None, "transfer", "seq"),
    sqlite_autoincrement=True,
)

event: Final = Table(
    "event",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("time", Double, nullable=False),
    Column("type", String(40), nullable=False),
    Column("transfer", Serial, nullable=False),
    Column("file", Serial),
    Column("data", Text, nullable=False),
    Index(None, "transfer", "id"),
    sqlite_autoincrement=True,
)

walk: Final = Table(
    "walk",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("transfer", Serial, ForeignKey("transfer.seq"), nullable=False),
    Column("source_storage", String(63), nullable=False),
    Column("source_path", PathBytes, nullable=False),
    Column("destination_storage", String(63), nullable=False),
    Column("destination_path", PathBytes, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("worker", String(64)),
    Column("next_try", Double, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Index("ix_walk_open", "next_try", sqlite_where=text("done = 0"), postgresql_where=text("NOT done")),
)

manifest: Final = Table(
    "manifest",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("lines", LargeBinary, nullable=False),  # see transfers.manifest
    Column("created", Double, nullable=False),
)

worker: Final = Table(
    "worker",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("started", Double, nullable=False),
)

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("transfer", String(32), nullable=False),
    Column("created", Double, nullable=False),
)

upload: Final = Table(
    "upload",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("owner", String(200), nullable=False),
    Column("gateway", String(63), nullable=False),  # on whose disk it is: the name of that gateway's staging storage
    Column("kind", String(8), nullable=False),  # whole, partial (part of another), final (made of others), put
    Column("file", Serial, ForeignKey("file.seq"), unique=True),  # NULL: a partial one
    Column("parts", Text),  # JSON: the ids of the partial ones, in order
    Column("whole", Serial, ForeignKey("upload.seq")),  # of a partial one: the final one that is made of it
    Column("name", PathBytes),  # of the sender's file, for people
    Column("metadata", Text),  # Upload-Metadata as it was sent
    Column("modified", Double),  # of the sender's file
    Column("promised", Text),  # JSON: digests of the whole that the client promises
    Column("length", BigInteger),  # NULL: the client has not said it yet
    Column("received", BigInteger, nullable=False, server_default=text("0")),  # durable bytes
    Column("crc64nvme", String(16), nullable=False, server_default=text("'0000000000000000'")),  # of those
    Column("created", Double, nullable=False),
    Column("expires", Double),  # NULL: all bytes are here
    Column("completed", Double),  # since when they are
    Column("released", BigInteger, nullable=False, server_default=text("0")),  # only at the storage
    Column("ended", Double),  # nothing of it is kept on the disk any more
    Column("end", String(10)),  # why: done, cancelled, failed, expired; known before the bytes are gone
    Index(None, "owner", "seq"),
    Index("ix_upload_open", "gateway", sqlite_where=text("ended IS NULL"), postgresql_where=text("ended IS NULL")),
)

ticket: Final = Table(
    "ticket",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256: the ticket itself is nowhere
    Column("actor", String(200), nullable=False),
    Column("expires", Double, nullable=False),
)

webhook: Final = Table(
    "webhook",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("owner", String(200), nullable=False),
    Column("url", Text, nullable=False),
    Column("topics", Text, nullable=False),  # JSON
    Column("types", Text, nullable=False),  # JSON
    Column("created", Double, nullable=False),
    Column("key", String(16), nullable=False),  # the name of the master key that its secret is derived from
    Column("delivered", BigInteger, nullable=False),  # the last event that was accepted, or did not concern it
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failing_since", Double),
    Column("next_try", Double, nullable=False, server_default=text("0")),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("cause", Text),
    Column("worker", String(64)),  # who delivers now, until lease_until
    Column("lease_until", Double),
    Index(None, "owner", "seq"),
)
