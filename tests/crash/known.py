"""Every crash point there is, and those that no run of ``test_points`` reaches, each with the reason."""

from __future__ import annotations

from typing import Final

from scigate.gateway_api.transfers.machine import ARROWS
from scigate.gateway_api.transfers.wishes import Wish
from scigate.storage_backends.layers.crash import CHANGES

ROWS: Final = (
    *(f"file.{state}.{what}" for state, what in ARROWS),
    *(f"transfer.{wish}" for wish in Wish),
    "transfer.submitted", "transfer.files", "transfer.settled", "transfer.due", "attempt.recorded",
    "manifest.piece", "walk.claimed", "walk.chunk", "walk.ended", "walk.given_back",
    "draft.intent", "draft.ref", "draft.identity", "draft.forgotten", "block.recorded", "block.forgotten",
    "worker.started", "worker.renewed", "worker.ended", "worker.forgotten",
    "upload.created", "upload.length", "upload.recorded", "upload.lost", "upload.refused", "upload.terminated",
    "upload.time_given", "upload.expired", "upload.ended", "upload.released",
)  # fmt: skip
"""Changes of rows: each is a point in its transaction and one behind the commit."""

WITHIN: Final = (
    "posix.draft:created", "posix.take_over:renamed", "posix.take_over:copied", "posix.write:written",
    "posix.seal:synced", "posix.publish:renamed", "posix.remove:unlinked", "posix.copy:filled", "posix.move:renamed",
    "s3.put:stored", "s3.draft:unmarked", "s3.publish:owned", "s3.publish:completed", "s3.publish:put",
    "s3.copy:copied", "s3.copy:unmarked", "s3.copy:marked", "s3.copy:part", "s3.copy:completed",
    "staging.open:created", "staging.append:written", "staging.sync:synced", "staging.settle:cut", "staging.mark:set",
    "staging.put:synced", "staging.put:renamed", "staging.remove:unlinked", "staging.recovery:over",
    "staging.boot:written", "staging.window:punched",
)  # fmt: skip
"""Between two steps of one operation, at a storage or on the gateway's own disk."""

KNOWN: Final = frozenset(
    [f"{row}:{when}" for row in ROWS for when in ("written", "committed")]
    + [f"{operation}:{when}" for operation in CHANGES for when in ("before", "after")]
    + list(WITHIN)
)

UNREACHED: Final = {
    "file.PUBLISHING.damaged:*": "the table allows it, but nothing takes it today: drafts are verified before",
    "file.QUEUED.scheduled:*": "a file would have to fail before its time and be retried: see test_beginning",
    "file.FAILED.cancel:*": "no request here fails with its upload kept: see tests/gateway_api/uploads",
    "file.CLAIMED.starved:*": "the engine waits for a sender's bytes only once it copies",
    "file.CLAIMED.expired:*": "its sender would have to be too late in the moment between the claim and the first byte",
    "discard:*": "the engine never discards: it abandons by name, which also works after a death",
    "posix.take_over:copied": "another process must still write to the draft: see test_zombies",
    "s3.publish:put": "what has no bytes is small, and put at once; the conformance suite publishes such drafts",
    "upload.lost:*": "only when somebody else shortens files in the gateway's own folder",
}
"""Pattern → why no kill can fall there in these runs."""
