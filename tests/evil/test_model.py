"""Several users do what they like, in any order, and the gateway is killed in between: it stays what the model says."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.crash.process import GatewayProcess, Nursery
from tests.evidence import record
from tests.processes import free_port

from .gateway import TOKENS
from .gateway import settings as settings_text
from .wire import Reply, Wire

V1 = "/api/v1"
TUS = {"Tus-Resumable": "1.0.0"}
FINAL = ("DONE", "FAILED", "CANCELLED")
USERS = ("ada", "bo", "eve")
LIMITS = "[limits]\nlease_seconds = 2\nreconcile_seconds = 1\n"


@dataclass
class Moved:
    """A transfer that was acknowledged, and what its file has to be when it is DONE."""

    owner: str
    destination: str
    content: bytes
    may_end: tuple[str, ...] = ("DONE",)
    """The states in which it can end, from what its owner asked for."""


@dataclass
class Sent:
    """An upload: so much of its content was acknowledged."""

    owner: str
    destination: str
    content: bytes
    offset: int = 0
    ended: bool = False
    transfer: str = ""


@dataclass
class World:
    """The gateway that is killed and comes back, and everything that it has acknowledged so far."""

    folder: Path
    port: int
    nursery: Nursery
    process: GatewayProcess
    transfers: dict[str, Moved] = field(default_factory=dict)
    uploads: dict[str, Sent] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """What is settled at ``lab``: nobody moves it any more."""
    perhaps: dict[str, bytes] = field(default_factory=dict)
    """What may be there or not: its copy was cancelled."""
    steps: Counter[str] = field(default_factory=Counter)
    number: int = 0

    @property
    def lab(self) -> Path:
        return self.folder / "around" / "lab"

    def name(self) -> str:
        self.number += 1
        return f"f{self.number}"

    def kill(self) -> None:
        self.process.kill()
        self.process = self.nursery.start(self.folder / "scigate.toml", self.folder / "gateway.log")
        self.steps["kills"] += 1

    def ask(self, user: str, method: str, target: str, body: Any = b"", headers: dict[str, str] | None = None) -> Reply:
        """The answer; asked again while there is none, as a client with an Idempotency-Key would."""
        end = time.monotonic() + 150
        while time.monotonic() < end:
            wire = Wire(self.port, TOKENS[user])
            try:
                reply = wire.ask(method, target, body, headers or {})
            except OSError:
                reply = Reply(0)
            finally:
                wire.close()
            if reply.status not in (0, 503):
                assert reply.fault(head=method == "HEAD") is None, f"{method} {target}: {reply}"
                return reply
            time.sleep(0.02)
        raise AssertionError(f"{method} {target} was not answered for a minute")


def machine(world: World) -> type[RuleBasedStateMachine]:
    """The rules, in this world. Names are never used twice, so that what one example left is nobody's harm."""
    users, names = st.sampled_from(USERS), st.randoms(use_true_random=False)
    contents = st.sampled_from([0, 1, 5_000, 300_000]).flatmap(
        lambda size: st.just(random.Random(size).randbytes(size))
    )
    wishes = st.sampled_from(["pause", "resume", "cancel", "retry"])
    delays = st.sampled_from([0.0, 0.002, 0.005, 0.01, 0.03])

    class Model(RuleBasedStateMachine):
        @rule(user=users, content=contents, die_after=st.none() | delays)
        def put(self, user: str, content: bytes, die_after: float | None) -> None:
            name, key = world.name(), {"Idempotency-Key": f"put-{world.number}"}
            dying = self._dies(die_after)
            reply = world.ask(user, "PUT", f"{V1}/files/lab/{name}?label={name}", content, key)
            dying.join()
            assert reply.status == 202, reply.body
            assert world.ask(user, "PUT", f"{V1}/files/lab/{name}?label={name}", content, key).json["replayed"]
            world.transfers[reply.json["transfer"]["id"]] = Moved(user, name, content)

        @precondition(lambda self: world.files)
        @rule(user=users, random=names, die_after=st.none() | delays, priority=st.integers(0, 9))
        def submit(self, user: str, random: random.Random, die_after: float | None, priority: int) -> None:
            source, name = random.choice(sorted(world.files)), world.name()
            body = {"files": [{"source": f"lab:/{source}", "destination": f"lab:/{name}"}], "priority": priority}
            key = {"Idempotency-Key": f"submit-{world.number}"}
            dying = self._dies(die_after)
            reply = world.ask(user, "POST", f"{V1}/transfers", body, key)
            dying.join()
            assert reply.status == 202, reply.body
            world.transfers[reply.json["transfer"]["id"]] = Moved(user, name, world.files[source])
            body["priority"] = (priority + 1) % 10
            assert world.ask(user, "POST", f"{V1}/transfers", body, key).status == 422

        @precondition(lambda self: len(world.files) > 1)
        @rule(user=users, random=names)
        def submit_onto_what_exists(self, user: str, random: random.Random) -> None:
            """It fails, and the old content stays. Where that is the same as the new one, an attempt that goes on after
            a kill may also take it for what was copied before."""
            source, taken = random.sample(sorted(world.files), 2)
            body = {"files": [{"source": f"lab:/{source}", "destination": f"lab:/{taken}"}]}
            id = world.ask(user, "POST", f"{V1}/transfers", body).json["transfer"]["id"]
            may_end = ("FAILED", "CANCELLED", *["DONE"] * (world.files[source] == world.files[taken]))
            world.transfers[id] = Moved(user, taken, world.files[taken], may_end)

        @rule(user=users, content=contents.filter(bool))
        def begin_upload(self, user: str, content: bytes) -> None:
            name = world.name()
            headers = {**TUS, "Upload-Length": str(len(content)), "Idempotency-Key": f"upload-{world.number}"}
            reply = world.ask(user, "POST", f"{V1}/uploads?destination=lab:/{name}", b"", headers)
            assert reply.status == 201, reply.body
            id = reply.header("Location").rpartition("/")[2]
            sent = world.uploads[id] = Sent(user, name, content)
            sent.transfer = world.ask(user, "GET", f"{V1}/uploads/{id}").json["transfer"]
            world.transfers[sent.transfer] = Moved(user, name, content)

        @precondition(lambda self: self._open())
        @rule(random=names, share=st.sampled_from([0.3, 0.5, 1.0]), die_after=st.none() | delays)
        def append(self, random: random.Random, share: float, die_after: float | None) -> None:
            id = random.choice(self._open())
            sent = world.uploads[id]
            piece = sent.content[sent.offset :][: max(1, int(len(sent.content) * share))]
            headers = {**TUS, "Upload-Offset": str(sent.offset), "Content-Type": "application/offset+octet-stream"}
            dying = self._dies(die_after)
            reply = world.ask(sent.owner, "PATCH", f"{V1}/uploads/{id}", piece, headers)
            dying.join()
            now = int(world.ask(sent.owner, "HEAD", f"{V1}/uploads/{id}", b"", TUS).header("Upload-Offset"))
            assert reply.status in (204, 409), reply.body
            assert sent.offset <= now <= sent.offset + len(piece)
            assert reply.status == 409 or now == sent.offset + len(piece), "acknowledged bytes are kept"
            sent.offset = now

        @precondition(lambda self: self._open())
        @rule(random=names)
        def end_upload(self, random: random.Random) -> None:
            id = random.choice(self._open())
            sent = world.uploads[id]
            assert world.ask(sent.owner, "DELETE", f"{V1}/uploads/{id}", b"", TUS).status in (204, 404, 410)
            assert world.ask(sent.owner, "HEAD", f"{V1}/uploads/{id}", b"", TUS).status in (404, 410)
            sent.ended, world.transfers[sent.transfer].may_end = True, ("CANCELLED",)

        @precondition(lambda self: world.transfers)
        @rule(random=names, wish=wishes)
        def wish(self, random: random.Random, wish: str) -> None:
            id = random.choice(sorted(world.transfers))
            moved = world.transfers[id]
            reply = world.ask(moved.owner, "POST", f"{V1}/transfers/{id}/{wish}")
            assert reply.status in (202, 409), reply.body
            if wish == "cancel" and reply.status == 202 and "CANCELLED" not in moved.may_end:
                moved.may_end = (*moved.may_end, "CANCELLED")
                for sent in world.uploads.values():
                    sent.ended = sent.ended or sent.transfer == id

        @precondition(lambda self: world.transfers)
        @rule(user=users, random=names, wish=wishes)
        def meddle(self, user: str, random: random.Random, wish: str) -> None:
            """With what is somebody else's: it is not there."""
            id = random.choice(sorted(world.transfers))
            if world.transfers[id].owner == user:
                return
            for method, target in (("GET", ""), ("GET", "/files"), ("GET", "/events"), ("POST", f"/{wish}")):
                assert world.ask(user, method, f"{V1}/transfers/{id}{target}").status == 404
            upload = next((key for key, sent in world.uploads.items() if sent.transfer == id), None)
            if upload:
                assert world.ask(user, "HEAD", f"{V1}/uploads/{upload}", b"", TUS).status == 404
                assert world.ask(user, "DELETE", f"{V1}/uploads/{upload}", b"", TUS).status == 404

        @rule(user=users)
        def list_own(self, user: str) -> None:
            listed = world.ask(user, "GET", f"{V1}/transfers?limit=1000").json["items"]
            own = {id for id, moved in world.transfers.items() if moved.owner == user}
            assert {one["id"] for one in listed} == own
            assert {one["owner"] for one in listed} <= {user}

        @precondition(lambda self: world.files)
        @rule(user=users, random=names, rename=st.booleans())
        def delete_or_move(self, user: str, random: random.Random, rename: bool) -> None:
            name = random.choice(sorted(world.files))
            if not self._is_at_rest(name):
                return
            content = world.files.pop(name)
            if not rename:
                assert world.ask(user, "DELETE", f"{V1}/files/lab/{name}").status in (204, 404)
                return
            other = world.name()
            body = {"source": f"lab:/{name}", "destination": f"lab:/{other}"}
            assert world.ask(user, "POST", f"{V1}/moves", body).status in (200, 404)
            world.files[other] = content
            assert world.ask(user, "GET", f"{V1}/files/lab/{other}").body == content

        @rule()
        def kill(self) -> None:
            world.kill()

        @rule()
        def let_it_work(self) -> None:
            settle(world, patient=False)

        def _dies(self, after: float | None) -> threading.Thread:
            """Somebody kills the gateway after so long, whatever it does."""

            def kill() -> None:
                if after is not None:
                    time.sleep(after)
                    world.kill()

            thread = threading.Thread(target=kill)
            thread.start()
            return thread

        def _open(self) -> list[str]:
            return sorted(
                id for id, sent in world.uploads.items() if not sent.ended and sent.offset < len(sent.content)
            )

        def _is_at_rest(self, name: str) -> bool:
            """Nobody reads it any more: all that was submitted is final."""
            return not settle(world, patient=False)

        def teardown(self) -> None:
            world.steps["examples"] += 1

    return Model


def settle(world: World, *, patient: bool) -> list[str]:
    """Look at what is not final yet, and check what has become so; what is left."""
    left = []
    for id, moved in list(world.transfers.items()):
        if moved.may_end == ():
            continue
        seen = world.ask(moved.owner, "GET", f"{V1}/transfers/{id}").json
        if seen["state"] not in FINAL:
            left.append(id)
            if patient and seen["state"] == "PAUSED":
                world.ask(moved.owner, "POST", f"{V1}/transfers/{id}/resume")
            continue
        assert seen["state"] in moved.may_end, f"{moved.destination} ended {seen['state']}: {seen['cause']}"
        if seen["state"] == "DONE":
            assert (world.lab / moved.destination).read_bytes() == moved.content
            world.files[moved.destination] = moved.content
        if seen["state"] == "CANCELLED":  # between the publication and its record: then it is there, and whole
            world.perhaps[moved.destination] = moved.content
        moved.may_end = ()
    return left


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    folder, port = Path(tempfile.mkdtemp(prefix="scigate-model-")).resolve(), free_port()
    (folder / "scigate.toml").write_text(settings_text(folder, port, LIMITS))
    nursery = Nursery(folder)
    made = World(folder, port, nursery, nursery.start(folder / "scigate.toml", folder / "gateway.log"))
    yield made
    made.process.stop()
    nursery.close()
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.timeout(900)
def test_the_gateway_is_what_the_model_says(world: World, evil_factor: int) -> None:
    begun = time.monotonic()
    try:
        while world.steps["examples"] < 6 * evil_factor:
            play(world, 6 * evil_factor - world.steps["examples"])
        bad = finish(world)
    except BaseException:
        record("evil.model", runs=world.steps["examples"], bad=1, seconds=time.monotonic() - begun)
        shutil.copy(world.folder / "gateway.log", Path(tempfile.gettempdir()) / "scigate-model.log")
        raise
    record("evil.model", runs=world.steps["examples"], bad=len(bad), seconds=time.monotonic() - begun,
           kills=world.steps["kills"], transfers=len(world.transfers), uploads=len(world.uploads))  # fmt: skip
    assert bad == []
    assert world.steps["kills"] >= 5


def play(world: World, examples: int) -> None:
    """So many sequences of rules, or fewer: what is possible next depends on how far the gateway has come, and
    Hypothesis ends when it finds that the same draws lead elsewhere. What was done until then has been judged."""
    settings_of_run = settings(
        max_examples=examples, stateful_step_count=20, derandomize=True, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with suppress(FlakyStrategyDefinition):
        run_state_machine_as_test(machine(world), settings=settings_of_run)


def finish(world: World) -> list[str]:
    """Let everything end, send what is left of the uploads, and compare the storage with the model."""
    world.kill()
    for id, sent in world.uploads.items():
        if not sent.ended and sent.offset < len(sent.content):
            sent.ended = True
            world.ask(sent.owner, "DELETE", f"{V1}/uploads/{id}", b"", TUS)
            moved = world.transfers[sent.transfer]
            moved.may_end = moved.may_end and ("CANCELLED",)
    end = time.monotonic() + 150
    while left := settle(world, patient=True):
        assert time.monotonic() < end, f"never final: {[world.transfers[id] for id in left]}"
        time.sleep(0.05)
    end = time.monotonic() + 150
    while (differences := list(compared(world))) and time.monotonic() < end:
        time.sleep(0.1)  # until the drafts of the dead are swept
    return differences


def compared(world: World) -> Iterator[str]:
    there = {str(path.relative_to(world.lab)) for path in world.lab.rglob("*") if path.is_file()}
    for name in there - world.files.keys():
        if name not in world.perhaps or (world.lab / name).read_bytes() != world.perhaps[name]:
            yield f"{name} is there, and nobody has made it"
    yield from (f"{name} is gone" for name in world.files.keys() - there)
    for name in there & world.files.keys():
        if (world.lab / name).read_bytes() != world.files[name]:
            yield f"{name} has other content"
    staged = [path.name for path in (world.folder / "state").rglob("*") if path.is_file() and len(path.name) == 32]
    yield from (f"{name} is left in the staging area" for name in staged)
