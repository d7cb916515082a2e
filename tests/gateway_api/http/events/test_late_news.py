"""News that comes while the gateway stops."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from scigate.gateway_api.http.events.fanout import Fanout


def test_what_is_heard_when_the_event_loop_has_just_ended_ends_no_thread() -> None:
    """The feed tells it from its own thread, which may have looked before that whether anybody still listens."""

    async def run() -> Fanout:
        fanout = Fanout(cast(Any, None), cast(Any, None), most=1, most_per_user=1)
        fanout.start()
        return fanout

    fanout = asyncio.run(run())
    fanout._hear(None)
    assert not fanout._stopping, "or it would not be about this"
