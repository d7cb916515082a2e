"""What the demo prints fits a terminal of 80 columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console
from scigate.gateway_api.demo.jobs import JOBS, Job, Result
from scigate.gateway_api.demo.show import _table
from scigate.gateway_api.demo.witness import Finding
from scigate.gateway_api.resources import Counts, Overwrite, Proof, Transfer, TransferState, Verify

FILES, SIZE = 1234, 1023 << 20


def result(job: Job) -> Result:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    transfer = Transfer(
        id="t1", owner="ada", label=None, state=TransferState.DONE, overwrite=Overwrite.FAIL, verify=Verify.AUTO,
        priority=5, created=now, finished=now, deadline=now, listing=False, files=Counts(total=FILES, done=FILES),
        bytes_total=SIZE, bytes_done=SIZE, rate=None, eta_seconds=None, proof=Proof.A, cause=None,
    )  # fmt: skip
    return Result(job, transfer, 1.0, Finding(FILES, ()))


def test_the_table_fits_80_columns_with_every_number_whole() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(_table([result(job) for job in JOBS]))
    printed = out.getvalue()
    assert "…" not in printed
    assert printed.count("1023 MiB ") == printed.count("1023 MiB/s") == printed.count("1234 equal") == len(JOBS)
    assert max(map(len, printed.splitlines())) <= 80
