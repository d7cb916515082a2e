"""What a run asks of the gateway: made of a seed, the same for the same seed."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from typing import Final

from .case import Content, Manner, Operation, Piece, Sending
from .ground import FOLDER, LARGE, MB, SOURCES, World

ANY_END: Final = frozenset({"DONE", "CANCELLED"})
Maker = Callable[["Planner", str], Operation]


class Planner:
    """Makes operations whose destinations never meet, and puts there what they are to find."""

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._ground = world, world.ground
        self._rng = random.Random(seed)
        self._seed = seed
        self._client = world.bucket.client()

    def plan(self, kinds: list[str], span: float) -> list[Operation]:
        """One operation of each kind, spread over ``span`` seconds."""
        operations = []
        for number, kind in enumerate(kinds):
            operation = KINDS[kind](self, f"run-{self._seed}-{number}")
            operation.kind = f"{kind} {' '.join(sorted({source.split('/')[0] for source, _ in operation.files}))}"
            operation.start = self._rng.uniform(0, span) if number else 0.0
            operation.lose_reply = self._rng.random() < 0.3
            operations.append(operation)
        return operations

    # --- the kinds -----------------------------------------------------------------------------------------------

    def small(self, key: str) -> Operation:
        return self._single(key, self._small_path(), self._anywhere(), self._target())

    def large(self, key: str) -> Operation:
        return self._single(key, self._large_path(), self._anywhere(), self._target())

    def pull(self, key: str) -> Operation:
        path = self._rng.choice([self._large_path(), self._small_path()])
        return self._single(key, path, f"http://127.0.0.1:{self._ground.web_port}/", self._target())

    def folder(self, key: str) -> Operation:
        source, target = self._rng.choice([("lab:/", "desk"), ("lab:/", "cloud"), ("pool:/", "desk")])
        contents = self._ground.contents
        pieces = [self._piece(target, f"{key}/{path[len(FOLDER) :]}", contents[path]) for path in self._ground.many]
        return Operation(key, "", pieces, [(source + FOLDER, f"{target}:/{key}/")])

    def inside(self, key: str) -> Operation:
        """A copy within one storage: the storage does it by itself."""
        path = self._rng.choice([self._large_path(), self._small_path()])
        content = self._ground.contents[path]
        if self._rng.random() < 0.5:
            piece = self._piece("all", self._world.key(f"{key}/copy"), content)
            return Operation(key, "", [piece], [(f"all:/{SOURCES}{path}", f"all:/{piece.path}")])
        self._have("desk", f"{key}/original", path)
        piece = self._piece("desk", f"{key}/copy", content)
        return Operation(key, "", [piece], [(f"desk:/{key}/original", f"desk:/{key}/copy")])

    def overwrite(self, key: str) -> Operation:
        path = self._rng.choice([self._large_path(), self._small_path()])
        return self._single(key, path, self._anywhere(), self._target(), old="mid.bin", overwrite="overwrite")

    def refused(self, key: str) -> Operation:
        """``overwrite = fail`` on what is there."""
        path = self._rng.choice(["one.bin", "small.bin", "over.bin"])
        made = self._single(key, path, self._anywhere(), self._target(), old="mid.bin")
        made.outcomes = frozenset({"FAILED"})
        return made

    def same(self, key: str) -> Operation:
        path = self._rng.choice(["small.bin", "over.bin"])
        return self._single(key, path, self._anywhere(), self._target(), old=path, overwrite="skip-same")

    def cancelled(self, key: str) -> Operation:
        made = self._rng.choice([self.large, self.overwrite, self.folder, self.inside, self.pull])(key)
        made.wishes = [(self._rng.uniform(0, 1.5), "cancel")]
        made.outcomes = ANY_END
        return made

    def paused(self, key: str) -> Operation:
        made = self._rng.choice([self.large, self.folder, self.overwrite])(key)
        at = self._rng.uniform(0, 1.0)
        made.wishes = [(at, "pause"), (at + self._rng.uniform(0.1, 1.0), "resume")]
        return made

    def mended(self, key: str) -> Operation:
        """The source comes late: FAILED, then retried."""
        old = self._rng.choice([None, "mid.bin"])
        made = self._from_its_own(key, "large-31.bin", old)
        made.missing = (str(self._ground.lab / self._own(key)), str(self._ground.lab / "large-31.bin"))
        return made

    def vanishing(self, key: str) -> Operation:
        """The source goes away while it is copied, over something that must then stay."""
        made = self._from_its_own(key, "large-80.bin", "mid.bin")
        source = self._ground.lab / self._own(key)
        shutil.copyfile(self._ground.lab / "large-80.bin", source)
        made.vanishing = str(source)
        made.outcomes = frozenset({"DONE", "FAILED"})
        return made

    def upload(self, key: str) -> Operation:
        path = self._rng.choice(["small.bin", "mid.bin", "over.bin"])
        target = self._target()
        piece = self._piece(target, f"{key}/uploaded", self._ground.contents[path])
        return Operation(
            key, "", [piece], [("upload", f"{target}:/{key}/uploaded")], upload=str(self._ground.lab / path)
        )

    # --- resumable uploads ---------------------------------------------------------------------------------------

    def sent(self, key: str) -> Operation:
        return self._sent(key, self._rng.choice(["mid.bin", "over.bin", "large-31.bin"]))

    def sent_over(self, key: str) -> Operation:
        made = self._sent(key, "over.bin", old="mid.bin")
        made.overwrite = "overwrite"
        return made

    def sent_in_parts(self, key: str) -> Operation:
        """Concatenation."""
        made = self._sent(key, "over.bin")
        original, size = made.sendings[0].original, made.sendings[0].length
        cuts = sorted(self._rng.sample(range(1, size), self._rng.choice([1, 2])))
        parts = itertools.pairwise([0, *cuts, size])
        made.sendings = [Sending(f"{key}-{start}", "partial", original, start, end) for start, end in parts]
        made.sendings.append(Sending(key, "final", original, 0, size))
        return made

    def sent_slowly(self, key: str) -> Operation:
        """The sender sleeps for longer than a slot is kept for it."""
        made = self._sent(key, "large-31.bin")
        made.manner = Manner(8 << 20, 0.0, sleeps_at=24 * MB)
        return made

    def ended(self, key: str) -> Operation:
        """Deleted on the way, or when all is here."""
        made = self._sent(key, self._rng.choice(["mid.bin", "large-31.bin"]), self._rng.choice([None, "mid.bin"]))
        made.overwrite = "overwrite"
        size = made.sendings[0].length
        made.manner = Manner(ends_at=self._rng.choice([0, size, self._rng.randrange(size), size - 1]))
        made.outcomes = ANY_END
        return made

    def left(self, key: str) -> Operation:
        """The sender never comes back."""
        made = self._sent(key, "large-31.bin", self._rng.choice([None, "mid.bin"]))
        made.overwrite, made.outcomes = "overwrite", frozenset({"FAILED"})
        made.manner = Manner(4 << 20, 0.0, leaves_at=self._rng.choice([0, 1, 20 * MB]))
        return made

    def _sent(self, key: str, path: str, old: str | None = None) -> Operation:
        target = self._target()
        piece = self._piece(target, f"{key}/sent", self._ground.contents[path], old)
        made = Operation(key, "", [piece], [("sender", f"{target}:/{piece.path}")])
        made.sendings = [Sending(key, "whole", str(self._ground.lab / path), 0, piece.new.size)]
        return made

    # --- their parts ---------------------------------------------------------------------------------------------

    def _single(
        self, key: str, path: str, source: str, target: str, *, old: str | None = None, overwrite: str = "fail"
    ) -> Operation:
        piece = self._piece(target, f"{key}/{path}", self._ground.contents[path], old)
        return Operation(key, "", [piece], [(source + path, f"{target}:/{piece.path}")], overwrite=overwrite)

    def _piece(self, storage: str, path: str, new: Content, old: str | None = None) -> Piece:
        place = {"desk": str(self._world.desk / path), "cloud": self._world.key(path), "all": path}[storage]
        if old is not None:
            self._have(storage, path, old)
        before = self._ground.contents[old] if old else None
        return Piece(storage, path, place, storage != "desk", new, before)

    def _have(self, storage: str, path: str, original: str) -> None:
        if storage == "desk":
            place = self._world.desk / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._ground.lab / original, place)
            return
        source = {"Bucket": self._world.bucket.bucket, "Key": SOURCES + original}
        self._client.copy_object(Bucket=self._world.bucket.bucket, Key=self._world.key(path), CopySource=source)

    def _from_its_own(self, key: str, original: str, old: str | None) -> Operation:
        target = self._target()
        piece = self._piece(target, f"{key}/there", self._ground.contents[original], old)
        overwrite = "overwrite" if old else "fail"
        return Operation(key, "", [piece], [(f"lab:/{self._own(key)}", f"{target}:/{piece.path}")], overwrite)

    def _own(self, key: str) -> str:
        """A source that belongs to one operation of one run."""
        folder = f"own/{self._world.folder.name}"
        (self._ground.lab / folder).mkdir(parents=True, exist_ok=True)
        return f"{folder}/{key}"

    def _small_path(self) -> str:
        return self._rng.choice(["zero.bin", "one.bin", "small.bin", "mid.bin", "over.bin"])

    def _large_path(self) -> str:
        return self._rng.choice(list(LARGE))

    def _anywhere(self) -> str:
        return self._rng.choice(["lab:/", "pool:/"])

    def _target(self) -> str:
        return self._rng.choice(["desk", "cloud"])


KINDS: Final[dict[str, Maker]] = {
    "small": Planner.small, "large": Planner.large, "pull": Planner.pull, "folder": Planner.folder,
    "inside": Planner.inside, "overwrite": Planner.overwrite, "refused": Planner.refused, "same": Planner.same,
    "cancelled": Planner.cancelled, "paused": Planner.paused, "mended": Planner.mended,
    "vanishing": Planner.vanishing, "upload": Planner.upload, "sent": Planner.sent, "sent_over": Planner.sent_over,
    "sent_in_parts": Planner.sent_in_parts, "sent_slowly": Planner.sent_slowly, "ended": Planner.ended,
    "left": Planner.left,
}  # fmt: skip

USUAL: Final = [
    "folder", "large", "overwrite", "small", "pull", "inside", "cancelled", "paused", "upload", "large", "refused",
    "mended", "cancelled", "same", "vanishing", "overwrite", "small", "folder", "inside", "upload", "cancelled",
]  # fmt: skip

UPLOADS: Final = [
    "sent_slowly", "sent", "sent_in_parts", "ended", "sent_over", "sent", "ended", "sent_in_parts", "sent",
    "ended", "upload", "sent", "large", "ended", "sent",
]  # fmt: skip
