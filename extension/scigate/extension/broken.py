"""What stands in for the extension when it cannot be imported: says why, in words, where people look for it."""

from __future__ import annotations

from typing import Any, Final

from .problem import Refusal
from .problem_handler import ProblemHandler

PATHS: Final = r"/scigate/(?:session|api/v1/.*)"
reason = "the reason is in the server's log"


class BrokenHandler(ProblemHandler):
    """Answers everything with the reason."""

    async def begin(self) -> None:
        raise does_not_run(reason)


def does_not_run(why: str) -> Refusal:
    """SciGate is installed in this Jupyter Server, and cannot be used."""
    return Refusal(
        503, "extension-failed", "SciGate is installed in this Jupyter Server but did not start.", detail=why,
        next_step="Correct this, or have it corrected by whoever installs software here (for a missing module: "
        "pip install 'scigate[jupyter]'), then restart the Jupyter Server.",
    )  # fmt: skip


def _load_jupyter_server_extension(serverapp: Any) -> None:
    serverapp.log.error("scigate.extension did not start: %s", reason)
    base = serverapp.web_app.settings["base_url"].rstrip("/")
    serverapp.web_app.add_handlers(".*$", [(base + PATHS, BrokenHandler)])
