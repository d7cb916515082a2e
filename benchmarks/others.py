"""The other peers: s5cmd, aws-cli, boto3 and s3fs, each as its users have it, in a Python environment of their own.

Their packages want another botocore than SciGate has, so they cannot be installed beside it. Where a program has no
way to do a case it is left out of it, with the reason.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from .cases import LOCAL, S3, BenchmarkFailed, Case
from .measure import Figures, run_measured
from .peers import Job, made_durable, path_of, plain_environment
from .places import Bucket, Folder, Place

PINS: Final = Path(__file__).parent / "peers.txt"
HOME: Final = Path(__file__).parents[1] / ".bench" / "peers"
SCRIPTS: Final = Path(__file__).parent / "scripts"
_TWO_SERVERS: Final = "speaks to one S3 server at a time"
_NO_S3: Final = "copies nothing from folder to folder"


def programs() -> Path:
    """The folder of the peers' programs, installed there in exactly the versions of ``peers.txt``."""
    stamp, wanted = HOME / "installed", PINS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(HOME, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "--no-deps", "-r", str(PINS)], check=True)
        stamp.write_text(wanted)
    return HOME / "bin"


def version_of(package: str) -> str:
    """The version of a package that is installed there."""
    found = [line.partition("==")[2] for line in PINS.read_text().splitlines() if line.startswith(f"{package}==")]
    return found[0]


class S5cmd:
    """s5cmd, with 256 workers as it comes. From server to server it can only pipe one object, ``cat`` to ``pipe``."""

    name = "s5cmd"
    flags: tuple[str, ...] = ()

    def cannot(self, case: Case) -> str | None:
        if case.source == case.destination == LOCAL:
            return _NO_S3
        return _TWO_SERVERS if case.destination == S3 == case.source and case.load.files > 1 else None

    def run(self, job: Job) -> Figures:
        program = str(next(HOME.glob("lib/*/site-packages/s5cmd/bin/s5cmd")))
        if job.case.source == S3 == job.case.destination:
            return self._pipe(job, program)
        environment, endpoint = _access(job)
        path = path_of(job.case)
        if job.case.load.files == 1 and isinstance(job.destination, Folder):
            (job.destination.path / path).parent.mkdir(parents=True)
        source = _url(job.source) + path + ("*" if path.endswith("/") and isinstance(job.source, Bucket) else "")
        command = [program, "--log=error", f"--endpoint-url={endpoint}", "cp", source, _url(job.destination) + path]
        return _measured(self.name, command, environment, job)

    def _pipe(self, job: Job, program: str) -> Figures:
        environment = dict(plain_environment(job.folder)) | {"PROGRAM": program}
        for end, place in (("FROM", job.source), ("TO", job.destination)):
            assert isinstance(place, Bucket)
            environment |= {f"{end}_{key}": value for key, value in _keys(place).items()}
            environment |= {f"{end}_URL": _url(place) + path_of(job.case), f"{end}_ENDPOINT": place.server.endpoint}
        half = (
            'AWS_ACCESS_KEY_ID="${0}_AWS_ACCESS_KEY_ID" AWS_SECRET_ACCESS_KEY="${0}_AWS_SECRET_ACCESS_KEY" '
            '"$PROGRAM" --log=error --endpoint-url="${0}_ENDPOINT" {1} "${0}_URL"'
        )
        line = " | ".join(
            half.replace("{0}", end).replace("{1}", verb) for end, verb in (("FROM", "cat"), ("TO", "pipe"))
        )
        return _measured(self.name, ["/bin/sh", "-c", line], environment, job)


class AwsCli:
    """``aws s3 cp``, with what it has as defaults."""

    name = "aws-cli"
    flags: tuple[str, ...] = ()

    def cannot(self, case: Case) -> str | None:
        if case.source == case.destination == LOCAL:
            return _NO_S3
        return _TWO_SERVERS if case.destination == S3 == case.source else None

    def run(self, job: Job) -> Figures:
        environment, endpoint = _access(job)
        path = path_of(job.case)
        recursive = ["--recursive"] if path.endswith("/") else []
        command = [str(programs() / "aws"), f"--endpoint-url={endpoint}", "s3", "cp", "--only-show-errors", *recursive]
        return _measured(self.name, [*command, _url(job.source) + path, _url(job.destination) + path], environment, job)


class Script:
    """A Python library as a program of a few lines, one of ``scripts``. Not between servers, nor between folders."""

    flags: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def cannot(self, case: Case) -> str | None:
        if case.source == case.destination == LOCAL:
            return _NO_S3
        return "would need a program of one's own for two servers" if case.destination == S3 == case.source else None

    def run(self, job: Job) -> Figures:
        environment, endpoint = _access(job)
        path = path_of(job.case)
        task = {"endpoint": endpoint, "source": _end(job.source, path), "destination": _end(job.destination, path)}
        command = [str(programs() / "python"), str(SCRIPTS / f"with_{self.name}.py"), json.dumps(task)]
        return _measured(self.name, command, environment, job)


def _end(place: Place, path: str) -> dict[str, str]:
    if isinstance(place, Bucket):
        return {"bucket": place.name, "path": place.prefix + path}
    assert isinstance(place, Folder)
    return {"path": f"{place.path}/{path}"}


def _url(place: Place) -> str:
    if isinstance(place, Bucket):
        return f"s3://{place.name}/{place.prefix}"
    assert isinstance(place, Folder)
    return f"{place.path}/"


def _keys(place: Bucket) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": place.server.access_key, "AWS_SECRET_ACCESS_KEY": place.server.secret_key}


def _access(job: Job) -> tuple[dict[str, str], str]:
    """The variables that name the one server of a job, and its address."""
    place = next(place for place in (job.source, job.destination) if isinstance(place, Bucket))
    environment = {**plain_environment(job.folder), **_keys(place), "AWS_REGION": place.server.region}
    environment |= {"AWS_DEFAULT_REGION": place.server.region, "AWS_EC2_METADATA_DISABLED": "true"}
    if place.server.ca_file:
        environment["AWS_CA_BUNDLE"] = str(place.server.ca_file)
    return environment, place.server.endpoint


def _measured(name: str, command: list[str], environment: dict[str, str], job: Job) -> Figures:
    log = job.folder / f"{name}.log"
    code, figures = run_measured(command, environment, log)
    if code != 0:
        raise BenchmarkFailed(f"{name} ended with {code}; it said:\n{log.read_text(errors='replace')[-4000:]}")
    return made_durable(figures, job.destination)
