"""Send files, a folder or what a URL leads to."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Final

import traitlets
from scigate.gateway_api.client import Gateway, TransferGroup, TransferHandle

from ..portlet import Portlet

STATES: Final = ("", "preparing", "sending", "paused", "received", "failed", "cancelled")


class NothingSent(RuntimeError):
    """There is no transfer to look at."""


class Upload(Portlet):
    """Send files, a folder, or have the gateway fetch web addresses. All traits are of what was sent last from here."""

    name: ClassVar[str] = "upload"
    title: ClassVar[str] = "Send data"
    order: ClassVar[int] = 20

    transfer_ids = traitlets.List(
        traitlets.Unicode(), help="ids of its transfers: one, or one for every ten thousand files of a folder"
    ).tag(sync=True)
    transfer_id = traitlets.Unicode(help="the first of them; '' while nothing was sent", read_only=True)
    state = traitlets.Enum(STATES, default_value="", help="'received': the gateway has every byte").tag(sync=True)
    progress = traitlets.Float(0.0, min=0.0, max=1.0, help="of the way to the gateway").tag(sync=True)

    @property
    def transfer(self) -> TransferHandle | TransferGroup:
        """The transfer of what was sent last: ``wait()`` for it, look at it, pause it. Several as a group.

        Raises ``NothingSent`` while there is none, and what ``Gateway.transfer`` raises.
        """
        if not self.transfer_ids:
            raise NothingSent(self._what_to_do())
        handles = tuple(self._gateway.transfer(id) for id in self.transfer_ids)
        return handles[0] if len(handles) == 1 else TransferGroup(handles)

    @cached_property
    def _gateway(self) -> Gateway:
        return Gateway()

    def _what_to_do(self) -> str:
        if self.state == "failed":
            return "What was sent last was refused; the panel says why. Send it again, then run this cell again."
        return (
            "Nothing has been sent from this panel yet. Choose a file or paste an address, press Send, and run this "
            "cell again. (Python hears of it when the kernel is idle: not in the cell that shows the panel.)"
        )

    @traitlets.observe("transfer_ids")
    def _first(self, change: Any) -> None:
        self.set_trait("transfer_id", change.new[0] if change.new else "")
