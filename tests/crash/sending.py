"""Submits of the runs that have only a few, with their answers in the history."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress

from .case import Operation
from .client import NOT_ANSWERED, TRANSFERS, Client
from .history import History

PATIENCE = 240.0


def submit(port: int, history: History, operation: Operation) -> None:
    """Until it is acknowledged."""
    client, end = Client(port, history, threading.Event()), time.monotonic() + PATIENCE
    files = [{"source": source, "destination": destination} for source, destination in operation.files]
    body = json.dumps({"files": files, "overwrite": operation.overwrite, "label": operation.key}).encode()
    while time.monotonic() < end:
        with suppress(*NOT_ANSWERED):
            status, answer = client.ask("POST", TRANSFERS, body, operation.key)
            if status not in (429, 500, 502, 503):
                assert status == 202, answer
                history.write("ok", "submit", key=operation.key, transfer=answer["transfer"]["id"])
                return
        time.sleep(0.05)
    raise TimeoutError(f"{operation.name} was not answered within {PATIENCE} s")


def all_finished(port: int, history: History) -> bool:
    """Whether the gateway on this port answers, and says so of all its transfers."""
    with suppress(*NOT_ANSWERED):
        status, page = Client(port, history, threading.Event()).ask("GET", f"{TRANSFERS}?limit=1000")
        return status == 200 and all(transfer["finished"] for transfer in page["items"])
    return False
