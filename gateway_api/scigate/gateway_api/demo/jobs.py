"""What a user does with a gateway: five jobs, each with the independent check of its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeAlias

from scigate.storage_backends.testing.servers import S3Server

from ..client import Gateway, Transfer, TransferGroup, TransferHandle
from .inputs import Inputs
from .proxy import CuttingProxy
from .service import Service
from .witness import Finding, compare, in_bucket, in_folder, of_file

LONGEST: Final = timedelta(minutes=15)  # for one job: a transfer that waits would wait for days
Watch: TypeAlias = Callable[[Transfer], None]
Sent: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything the jobs need."""

    client: Gateway
    inputs: Inputs
    lab: Path
    s3: S3Server
    web: str
    service: Service
    tell: Callable[[str], None]  # a line for who watches

    def stored(self, prefix: str) -> dict[str, str]:
        """What the S3 server holds below ``prefix``, as it says itself."""
        return in_bucket(self.s3.client(), self.s3.bucket, prefix)


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do: ``start`` submits it, ``check`` looks at what arrived."""

    name: str
    start: Callable[[Scene, Sent], TransferHandle]
    check: Callable[[Scene], Finding]
    uploads: Callable[[Scene], int] = lambda scene: 0  # bytes that this machine sends first


@dataclass(frozen=True, slots=True)
class Result:
    """How a job went; ``seconds`` is from the first request to the last file's DONE."""

    job: Job
    transfer: Transfer
    seconds: float
    finding: Finding

    @property
    def good(self) -> bool:
        done = self.transfer.files.done == self.transfer.files.total == self.finding.equal
        return done and not self.finding.wrong

    @property
    def rate(self) -> float:
        return self.transfer.bytes_done / max(self.seconds, 1e-6)


def perform(job: Job, scene: Scene, sent: Sent, watch: Watch) -> Result:
    """Do one job and check it. Raises ``GatewayError`` if it fails."""
    began = time.monotonic()
    transfer = job.start(scene, sent).wait(LONGEST, progress=watch)
    seconds = time.monotonic() - began
    return Result(job, transfer, seconds, job.check(scene))


def _pull(scene: Scene, sent: Sent) -> TransferHandle:
    names = sorted(in_folder(scene.inputs.observatory))
    return scene.client.submit([(f"{scene.web}/{name}", f"archive:/observatory/{name}") for name in names])


def _put(scene: Scene, sent: Sent) -> TransferHandle:
    return _one(scene.client.put(scene.inputs.large, "archive:/run7/", sent=sent))


def _put_cut(scene: Scene, sent: Sent) -> TransferHandle:
    """Through a bad network, and the gateway is killed as well; the client is told nothing of either."""
    file = scene.inputs.unlucky
    size, token = file.stat().st_size, scene.service.token_file.read_text()
    with (
        CuttingProxy(scene.service.url, size * 2 // 5) as proxy,
        Gateway(proxy.url, token, upload_patience=timedelta(minutes=1)) as client,
    ):
        handle = client.put(file, "archive:/cut/", sent=_Watched(scene, size, sent))
        return scene.client.transfer(_one(handle).id)


def _one(put: TransferHandle | TransferGroup) -> TransferHandle:
    assert isinstance(put, TransferHandle), "a file becomes one transfer"
    return put


class _Watched:
    """Hears how an upload goes, kills the gateway at 90 % of it, and tells where it went on."""

    def __init__(self, scene: Scene, size: int, sent: Sent) -> None:
        self._scene, self._size, self._sent = scene, size, sent
        self._count, self._why = 0, "connection reset"
        self._crash_at: int | None = size * 9 // 10  # the reset has been felt by then, however much was on its way

    def __call__(self, count: int) -> None:
        before, self._count = self._count, self._count + count
        self._sent(count)
        if count < 0:
            self._scene.tell(f"{self._why} at {self._percent(before)}, resumed at {self._percent(self._count)}")
        elif self._crash_at is not None and self._count >= self._crash_at:
            self._crash_at, self._why = None, "gateway killed (SIGKILL) and started again"
            self._scene.service.crash()
            self._scene.service.start()

    def _percent(self, count: int) -> str:
        return f"{100 * count // self._size} %"


def _to_archive(scene: Scene, sent: Sent) -> TransferHandle:
    return scene.client.copy("lab:/images/", "archive:/images/")


def _from_archive(scene: Scene, sent: Sent) -> TransferHandle:
    return scene.client.submit(
        [("archive:/run7/", "lab:/from-archive/run7/"), ("archive:/observatory/", "lab:/from-archive/observatory/")]
    )


def _expected_back(scene: Scene) -> Iterator[tuple[str, str]]:
    yield f"run7/{scene.inputs.large.name}", of_file(scene.inputs.large)
    for name, digest in in_folder(scene.inputs.observatory).items():
        yield f"observatory/{name}", digest


JOBS = (
    Job(
        "URL → S3",
        _pull,
        lambda scene: compare(in_folder(scene.inputs.observatory), scene.stored("observatory/")),
    ),
    Job(
        "this machine → S3",
        _put,
        lambda scene: compare({scene.inputs.large.name: of_file(scene.inputs.large)}, scene.stored("run7/")),
        uploads=lambda scene: scene.inputs.large.stat().st_size,
    ),
    Job(
        "cut twice → S3",
        _put_cut,
        lambda scene: compare({scene.inputs.unlucky.name: of_file(scene.inputs.unlucky)}, scene.stored("cut/")),
        uploads=lambda scene: scene.inputs.unlucky.stat().st_size,
    ),
    Job(
        "POSIX folder → S3",
        _to_archive,
        lambda scene: compare(in_folder(scene.inputs.images), scene.stored("images/")),
    ),
    Job(
        "S3 folders → POSIX",
        _from_archive,
        lambda scene: compare(dict(_expected_back(scene)), in_folder(scene.lab / "from-archive")),
    ),
)
