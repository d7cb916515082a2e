"""Uploads as people use them: create, look, append, end. Durable when a method returns."""

from __future__ import annotations

from ..actor import Actor
from ..resources import FolderToSend, FolderUpload, Page, Upload
from .model import Append, NewUpload, UploadStatus
from .writer import Writer


class Uploads:
    """The use cases of uploads. Every method may block and may be called from many threads; refusals are ``Problem``
    or ``StorageError``."""

    def create(self, actor: Actor, new: NewUpload) -> UploadStatus:
        """A new upload; from the answer on it is there, and so is its transfer (but a partial one has none)."""
        raise NotImplementedError

    def create_folder(self, actor: Actor, folder: FolderToSend, key: str | None) -> FolderUpload:
        """An upload for each file of a manifest, all under one transfer; all of them or none."""
        raise NotImplementedError

    def status(self, actor: Actor, id: str) -> UploadStatus:
        """How much of it is durable. A request that still appends is ended first: its sender asks, so it is gone."""
        raise NotImplementedError

    def show(self, actor: Actor, id: str) -> Upload:
        """An upload with both its legs."""
        raise NotImplementedError

    def list(self, actor: Actor, *, after: str | None, limit: int) -> Page[Upload]:
        """The actor's uploads, newest first; an admin sees everybody's."""
        raise NotImplementedError

    def open(self, actor: Actor, id: str, request: Append) -> Writer:
        """Begin to append; a request that still appends is ended first."""
        raise NotImplementedError

    def terminate(self, actor: Actor, id: str) -> None:
        """End an upload: its transfer's file is cancelled, its bytes are removed."""
        raise NotImplementedError

    def sweep(self) -> None:
        """Expire what nobody continues, and remove what has reached its storage."""
        raise NotImplementedError
