"""The resources of the REST API: what goes over the wire, in both directions.

The OpenAPI document is generated from these models, the client returns them. Sizes are bytes, rates bytes per
second, times UTC. Paths that are not UTF-8 travel as lone surrogates (PEP 383), which JSON writes as ``\\udcXX``.
"""

from .base import Cause, Label, Moment, Page, PathText, Request, Resource
from .events import (
    CreatedWebhook,
    Event,
    PageTicket,
    ReplayRequest,
    Ticket,
    Webhook,
    WebhookRequest,
    WebhookState,
    WebhookTest,
)
from .storages import ArchiveKind, Check, Entry, Feedback, MoveRequest, Space, Status, Storage, StorageState
from .transfers import (
    Attempt,
    Counts,
    FileRequest,
    FileState,
    Overwrite,
    Proof,
    Rates,
    Submitted,
    Transfer,
    TransferFile,
    TransferRequest,
    TransferState,
    Verify,
)
from .uploads import Durable, FileToSend, FolderToSend, FolderUpload, Leg, Upload, UploadState

__all__ = [
    "ArchiveKind", "Attempt", "Cause", "Check", "Counts", "CreatedWebhook", "Durable", "Entry", "Event", "Feedback",
    "FileRequest", "FileState", "FileToSend", "FolderToSend", "FolderUpload", "Label", "Leg", "Moment", "MoveRequest",
    "Overwrite", "Page", "PageTicket", "PathText", "Proof", "Rates", "ReplayRequest", "Request", "Resource", "Space",
    "Status", "Storage", "StorageState", "Submitted", "Ticket", "Transfer", "TransferFile", "TransferRequest",
    "TransferState", "Upload", "UploadState", "Verify", "Webhook", "WebhookRequest", "WebhookState", "WebhookTest",
]  # fmt: skip
