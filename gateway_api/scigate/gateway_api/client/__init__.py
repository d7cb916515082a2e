"""The Python client of the gateway: ``Gateway().put("a.h5", "archive:/run7/").wait()``."""

from ..resources import Entry, Event, FileState, Overwrite, Status, Storage, Transfer, TransferFile, TransferState
from .download import Download
from .errors import (
    AccessRefused,
    Conflict,
    DataDamaged,
    FilesNotSent,
    GatewayError,
    GatewayFailed,
    GatewayUnreachable,
    InvalidLocation,
    LocalFileError,
    NotConfigured,
    NotFound,
    RequestInvalid,
    RequestRefused,
    TransferCancelled,
    TransferFailed,
    TransferUnfinished,
    WaitTimeout,
)
from .gateway import Gateway
from .handle import TransferGroup, TransferHandle

__all__ = [
    "AccessRefused",
    "Conflict",
    "DataDamaged",
    "Download",
    "Entry",
    "Event",
    "FileState",
    "FilesNotSent",
    "Gateway",
    "GatewayError",
    "GatewayFailed",
    "GatewayUnreachable",
    "InvalidLocation",
    "LocalFileError",
    "NotConfigured",
    "NotFound",
    "Overwrite",
    "RequestInvalid",
    "RequestRefused",
    "Status",
    "Storage",
    "Transfer",
    "TransferCancelled",
    "TransferFailed",
    "TransferFile",
    "TransferGroup",
    "TransferHandle",
    "TransferState",
    "TransferUnfinished",
    "WaitTimeout",
]
