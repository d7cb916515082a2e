"""What brings a gateway to each crash point: what is asked of it, what it lives with, what happens to it there."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Final

from .case import Manner, Operation
from .known import KNOWN, UNREACHED
from .plan import ANY_END, Planner
from .sender import DEFERRED

DESK, CLOUD = "desk", "cloud"
LATER: Final = 0.0
"""A time that is some seconds after the submit."""


@dataclass(frozen=True)
class Scene:
    """How a point is reached."""

    kind: str
    """What is asked of the gateway: a name of ``Scenes``."""
    weather: str = ""
    """Faults it lives with meanwhile, or a mutant."""
    when: str = ""
    """A state; when a file of the request is in it ``then`` happens: a word for each thing, in their order."""
    then: str = ""
    after: str = ""
    """A point at which the gateway before is killed, with its own scene, but the same request."""
    only: str = ""
    """The only storage with which this is possible."""
    once: bool = False
    """No gateway reaches it twice."""
    slow: bool = False
    """Takes many seconds: only in the full runs."""
    apart: float = 1.0
    """Seconds between requests for a later occurrence: what several of them do in one commit is one occurrence."""
    alone: bool = False
    """In a world of its own: what other scenes have left there would be in front of it in the queue."""
    hurried: bool = False
    """Something has to happen before something else does."""

    @property
    def may_be_missed(self) -> bool:
        """Whether it depends on how fast things happen: then it is tried again, more slowly."""
        return self.hurried or self.when != "" or self.after != ""

    @property
    def is_once(self) -> bool:
        """Whether its point has a first occurrence only: it is part of the start, of setting right, or of the end."""
        return self.once or self.slow or self.after != "" or "term" in self.then


@dataclass(frozen=True)
class Target:
    """A kill: where, at the how many-th time, on the way to which storage."""

    point: str
    occurrence: int
    storage: str

    def __str__(self) -> str:
        return f"{self.point} {self.occurrence} {self.storage}"


CLAIMED, BLOCK = "file.QUEUED.claim:committed", "block.recorded:committed"
COPIED, FAILED = "file.COPYING.copied:committed", "file.COPYING.failure:committed"
PLACES: Final[dict[str, Scene]] = {
    # files: what is right
    "file.CLAIMED.skipped:*": Scene("same"),
    "file.CLAIMED.recovered:*": Scene("over", after="publish:after"),
    "file.COPYING.stored:*": Scene("inside"),
    "file.COPYING.skipped:*": Scene("same_folder"),
    "file.VERIFYING.damaged:*": Scene("over", "bits flip", only=DESK),
    # files: what goes wrong
    "file.QUEUED.failure:*": Scene("late", after="transfer.submitted:committed", slow=True),
    "file.WAITING.failure:*": Scene("promised"),
    "file.CLAIMED.failure:*": Scene("mended"),
    "file.COPYING.failure:*": Scene("over", "writing fails"),
    "file.VERIFYING.failure:*": Scene("over", "reading back fails", only=DESK),
    "file.PUBLISHING.failure:*": Scene("over", "publishing fails"),
    "file.WAITING.wake:*": Scene("over", after=FAILED),
    # files: uploads
    "file.WAITING.received:*": Scene("sent"),
    "file.QUEUED.starved:*": Scene("sent_slowly", when="WAITING", then="pause resume"),
    "file.COPYING.starved:*": Scene("sent_with_a_break", slow=True),
    "file.PAUSED.expired:*": Scene("left", when="WAITING", then="pause", slow=True),
    "file.QUEUED.expired:*": Scene("left_late", "no slot", slow=True),
    "file.COPYING.expired:*": Scene("left_late", slow=True),
    "file.WAITING.expired:*": Scene("left_early", slow=True),
    # files: for later
    "file.WAITING.scheduled:*": Scene("sent_early", hurried=True),
    "file.PAUSED.scheduled:*": Scene("later", when="WAITING", then="pause PAUSED resume"),
    # files: given back
    "file.CLAIMED.release:*": Scene("pull"),
    "file.COPYING.release:*": Scene("over", "slow", "COPYING", "term"),
    "file.VERIFYING.release:*": Scene("over", "slow", "VERIFYING", "term", only=DESK),
    "file.PUBLISHING.release:*": Scene("folder", "slow publishing", "PUBLISHING", "term", only=DESK),
    "file.CLAIMED.lapse:*": Scene("over", after=CLAIMED),
    "file.COPYING.lapse:*": Scene("over", after=BLOCK),
    "file.VERIFYING.lapse:*": Scene("over", after=COPIED),
    "file.PUBLISHING.lapse:*": Scene("over", after="draft.identity:committed"),
    "file.CANCELLING.lapse:*": Scene("over", after="file.COPYING.cancel:committed"),
    # files: what people ask
    "file.QUEUED.pause:*": Scene("over", "no slot", "QUEUED", "pause"),
    "file.QUEUED.cancel:*": Scene("over", "no slot", "QUEUED", "cancel"),
    "file.WAITING.pause:*": Scene("over", "writing fails", "WAITING", "pause"),
    "file.WAITING.resume:*": Scene("over", "writing fails", "WAITING", "retry"),
    "file.WAITING.cancel:*": Scene("over", "writing fails", "WAITING", "cancel"),
    "file.CLAIMED.pause:*": Scene("several", "slow to look", "CLAIMED", "pause", alone=True),
    "file.CLAIMED.cancel:*": Scene("over", "slow", "CLAIMED", "cancel"),
    "file.COPYING.pause:*": Scene("over", "slow", "COPYING", "pause"),
    "file.COPYING.cancel:*": Scene("over", "slow", "COPYING", "cancel"),
    "file.VERIFYING.pause:*": Scene("over", "slow", "VERIFYING", "pause", only=DESK),
    "file.VERIFYING.cancel:*": Scene("over", "slow", "VERIFYING", "cancel", only=DESK),
    "file.PAUSED.resume:*": Scene("over", "slow", "COPYING", "pause PAUSED resume"),
    "file.PAUSED.cancel:*": Scene("over", "slow", "COPYING", "pause PAUSED cancel"),
    "file.FAILED.retry:*": Scene("mended"),
    "file.CANCELLING.stored:*": Scene("small", "slow puts", "COPYING", "cancel", only=CLOUD),
    "file.CANCELLING.cleaned:*": Scene("over", "slow", "COPYING", "cancel"),
    "transfer.cancel:*": Scene("over", "slow", "COPYING", "cancel"),
    "transfer.pause:*": Scene("over", "slow", "COPYING", "pause"),
    "transfer.resume:*": Scene("over", "slow", "COPYING", "pause PAUSED resume"),
    "transfer.retry:*": Scene("mended"),
    "transfer.due:*": Scene("later"),
    "attempt.recorded:*": Scene("large", hurried=True),
    "transfer.settled:*": Scene("over", "slow", "COPYING", "cancel"),
    # other rows
    "manifest.*": Scene("in_bulk"),
    "walk.given_back:*": Scene("no_folder"),
    "walk.*": Scene("folder"),
    "draft.forgotten:*": Scene("over", after=BLOCK),
    "worker.started:*": Scene("over", once=True),
    "worker.forgotten:*": Scene("over", after=CLAIMED),
    "worker.ended:*": Scene("over", "slow", "CLAIMED", "term"),
    "upload.length:*": Scene("deferred"),
    "upload.refused:*": Scene("promised"),
    "upload.terminated:*": Scene("ended"),
    "upload.expired:*": Scene("left", slow=True),
    "upload.released:*": Scene("sent_long", "no room", only=CLOUD, hurried=True),
    "upload.time_given:*": Scene("sent", once=True),
    "upload.ended:*": Scene("sent", apart=3.0),
    "upload.*": Scene("sent"),
    # storages
    "put:*": Scene("small", only=CLOUD),
    "s3.put:*": Scene("small", only=CLOUD),
    "abandon:*": Scene("over", after="draft:after"),
    "delete:*": Scene("removed"),
    "move:*": Scene("renamed", only=DESK),
    "posix.move:*": Scene("renamed", only=DESK),
    "mkdir:*": Scene("made"),
    "copy:*": Scene("inside"),
    "sync:*": Scene("folder", only=DESK),
    "posix.copy:*": Scene("inside", only=DESK),
    "posix.take_over:renamed": Scene("over", after=BLOCK, only=DESK),
    "posix.remove:*": Scene("over", after="draft:after", only=DESK),
    "posix.*": Scene("over", only=DESK),
    "s3.copy:copied": Scene("inside", only=CLOUD),
    "s3.copy:*": Scene("inside", "copies_in_parts", only=CLOUD),
    "s3.*": Scene("over", only=CLOUD),
    # the gateway's own disk
    "staging.put:*": Scene("upload"),
    "staging.remove:*": Scene("upload"),
    "staging.recovery:*": Scene("sent", once=True),
    "staging.boot:*": Scene("sent", once=True),
    "staging.mark:*": Scene("checked"),
    "staging.window:*": Scene("sent_long", "no room", only=CLOUD, hurried=True),
    "staging.settle:*": Scene("checked", after="staging.append:written"),
    "staging.*": Scene("sent"),
    "*": Scene("over"),
}
"""Pattern of points → how they are reached; the first one that fits."""


def scene_of(point: str) -> Scene:
    """How a point is reached."""
    return next(scene for pattern, scene in PLACES.items() if fnmatchcase(point, pattern))


def targets(occurrences: int, seed: int) -> list[Target]:
    """Every point that can be reached, with every storage, at each of its first occurrences."""
    found = [
        Target(point, occurrence, storage)
        for point in sorted(KNOWN)
        if not any(fnmatchcase(point, pattern) for pattern in UNREACHED)
        for storage in (DESK, CLOUD)
        if scene_of(point).only in ("", storage)
        for occurrence in range(1, 2 if scene_of(point).is_once else occurrences + 1)
    ]
    random.Random(seed).shuffle(found)
    return found


class Scenes(Planner):
    """Operations that leave nothing to chance; all of them go to ``target``."""

    target = DESK
    slower = 1

    def make(self, kind: str, key: str, target: str, slower: int = 1) -> Operation:
        """``slower``: senders that take their time take so many times as much of it."""
        self.target, self.slower = target, slower
        made = MAKERS[kind](self, key)
        made.kind = f"{kind} {target}"
        return made

    def over(self, key: str) -> Operation:
        return self._single(key, "over.bin", "lab:/", self.target)

    def small(self, key: str) -> Operation:
        return self._single(key, "small.bin", "lab:/", self.target)

    def pull(self, key: str) -> Operation:
        return self._single(key, "over.bin", f"http://127.0.0.1:{self._ground.web_port}/", self.target)

    def same(self, key: str) -> Operation:
        return self._single(key, "small.bin", "lab:/", self.target, old="small.bin", overwrite="skip-same")

    def late(self, key: str) -> Operation:
        made = self.small(key)
        made.deadline, made.outcomes = LATER, frozenset({"FAILED", "DONE"})
        return made

    def later(self, key: str) -> Operation:
        made = self.over(key)
        made.not_before = LATER
        return made

    def large(self, key: str) -> Operation:
        """So large that it is kept how fast it went."""
        return self._single(key, "large-47.bin", "lab:/", self.target)

    def several(self, key: str) -> Operation:
        """Files whose sizes are not known before each is looked at."""
        return self._group(key, self._ground.many[:12], listed=False)

    def in_bulk(self, key: str) -> Operation:
        """The same, line by line."""
        made = self.several(key)
        made.in_bulk = True
        return made

    def folder(self, key: str) -> Operation:
        return self._group(key, [path for path in self._ground.many if path.startswith("many/3/")], listed=True)

    def same_folder(self, key: str) -> Operation:
        paths = [path for path in self._ground.many if path.startswith("many/3/")]
        made = self._group(key, paths, listed=True, there=True)
        made.overwrite = "skip-same"
        return made

    def no_folder(self, key: str) -> Operation:
        """A folder that is not there: it stands among the files as one that has failed."""
        piece = self._piece(self.target, f"{key}/", self._ground.contents["one.bin"])
        made = Operation(key, "", [piece], [(f"lab:/{key}/", f"{self.target}:/{key}/")])
        made.outcomes = frozenset({"FAILED"})
        return made

    def inside(self, key: str) -> Operation:
        storage = DESK if self.target == DESK else "all"
        original, copy = (path if storage == DESK else self._world.key(path) for path in (f"{key}/1", f"{key}/2"))
        self._have(self.target, f"{key}/1", "over.bin")
        piece = self._piece(storage, copy, self._ground.contents["over.bin"])
        return Operation(key, "", [piece], [(f"{storage}:/{original}", f"{storage}:/{copy}")])

    # --- uploads -------------------------------------------------------------------------------------------------

    def sent(self, key: str) -> Operation:
        return self._sent(key, "mid.bin")

    def sent_early(self, key: str) -> Operation:
        """It is all there before it may move on."""
        made = self._sent(key, "mid.bin")
        made.not_before = LATER
        return made

    def deferred(self, key: str) -> Operation:
        """The sender does not say the length before the last piece."""
        return self._sent(self._said(key, deferred=True), "mid.bin")

    def checked(self, key: str) -> Operation:
        made = self._sent(key, "mid.bin")
        made.manner = Manner(always_checked=True)
        return made

    def promised(self, key: str) -> Operation:
        """The bytes are not what was promised."""
        made = self._sent(key, "mid.bin")
        made.manner = Manner(promises=f"sha-256=:{base64.b64encode(sha256(key.encode()).digest()).decode()}:")
        made.outcomes = frozenset({"FAILED"})
        return made

    def sent_slowly(self, key: str) -> Operation:
        made = self._sent(key, "mid.bin")
        made.manner = Manner(600_000, 0.5 * self.slower)
        return made

    def left_early(self, key: str) -> Operation:
        """When its sender leaves, too little is here to be worth an attempt."""
        made = Planner.left(self, key)
        made.manner = Manner(4 << 20, 0.0, leaves_at=1)
        return made

    def left_late(self, key: str) -> Operation:
        """When its sender leaves, the file is copied already."""
        made = Planner.left(self, self._said(key, deferred=False))
        made.manner = Manner(4 << 20, 0.0, leaves_at=20_000_000)
        return made

    def sent_long(self, key: str) -> Operation:
        made = self._sent(key, "large-47.bin")
        made.manner = Manner(4 << 20, 0.2 * self.slower)
        return made

    def sent_with_a_break(self, key: str) -> Operation:
        return Planner.sent_slowly(self, self._said(key, deferred=False))

    def ended(self, key: str) -> Operation:
        made = self._sent(key, "mid.bin")
        made.manner, made.outcomes = Manner(ends_at=1), ANY_END
        return made

    def _group(self, key: str, paths: list[str], *, listed: bool, there: bool = False) -> Operation:
        folder = paths[0].rpartition("/")[0] + "/"
        names = {path: f"{key}/{path.removeprefix(folder) if listed else path}" for path in paths}
        contents = self._ground.contents
        pieces = [self._piece(self.target, names[path], contents[path], path if there else None) for path in paths]
        if listed:
            return Operation(key, "", pieces, [(f"lab:/{folder}", f"{self.target}:/{key}/")])
        return Operation(key, "", pieces, [(f"lab:/{path}", f"{self.target}:/{names[path]}") for path in paths])

    def _said(self, key: str, *, deferred: bool) -> str:
        """A key with which the sender's first throw of the dice is that."""
        keys = (f"{key}-{number}" for number in range(1000))
        return next(one for one in keys if (random.Random(one).random() < DEFERRED) is deferred)

    def _target(self) -> str:
        return self.target


MAKERS: Final[dict[str, Callable[[Scenes, str], Operation]]] = {
    "over": Scenes.over, "small": Scenes.small, "pull": Scenes.pull, "same": Scenes.same, "late": Scenes.late,
    "several": Scenes.several, "in_bulk": Scenes.in_bulk, "folder": Scenes.folder, "same_folder": Scenes.same_folder,
    "no_folder": Scenes.no_folder, "inside": Scenes.inside, "mended": Planner.mended, "upload": Planner.upload,
    "sent": Scenes.sent, "deferred": Scenes.deferred, "checked": Scenes.checked, "promised": Scenes.promised,
    "sent_slowly": Scenes.sent_slowly, "sent_with_a_break": Scenes.sent_with_a_break, "ended": Scenes.ended,
    "left_early": Scenes.left_early, "left_late": Scenes.left_late, "sent_long": Scenes.sent_long, "left": Planner.left,
    "later": Scenes.later, "large": Scenes.large, "sent_early": Scenes.sent_early,
}  # fmt: skip
