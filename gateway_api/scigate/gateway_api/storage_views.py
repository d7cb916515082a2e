"""Storages as their users see them: state, room, what bandwidth to expect, and which one to suggest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scigate.storage_backends.errors import StorageError

from . import entries
from .actor import Actor
from .policy import shared_with
from .problems import cause_of, not_found
from .resources import Storage, StorageState
from .storages import Storages
from .transfers.expected import Candidate, ExpectedRates, nearest


class StorageViews:
    """``site`` is where the gateway itself is, None if that is not said."""

    def __init__(self, storages: Storages, expected: ExpectedRates, site: str | None) -> None:
        self._storages, self._expected, self._site = storages, expected, site
        self.largest_upload: Callable[[], int] = lambda: 0

    def of(self, actor: Actor, names: Iterable[str], seen: Iterable[str]) -> list[Storage]:
        """Those of these ``names``; the nearest is one of those that ``actor`` has ``seen``. Looks at each of them."""
        views = [self._view(actor, name) for name in names]
        suggested = nearest(filter(None, map(self._candidate, seen)), self._site)
        return [view.model_copy(update={"nearest": True}) if view.name == suggested else view for view in views]

    def _candidate(self, name: str) -> Candidate | None:
        """A storage that can be written to, as far as is known without asking it."""
        section = self._storages.section(name)
        if section is None or self._storages.last_status(name).state is StorageState.DOWN:
            return None
        try:
            limits = self._storages.get(name).limits
        except StorageError:
            return None
        return None if limits.read_only else Candidate(name, self._expected.to(name), section.site, limits.local)

    def _view(self, actor: Actor, name: str) -> Storage:
        section = self._storages.section(name)
        if section is None:
            raise not_found("storage", name)
        status = self._storages.status(name)
        common = Storage(
            name=name, type=section.type, summary=section.summary, site=section.site, url=None,
            read_only=section.read_only, state=status.state, cause=status.cause, can=[],
            largest_upload=self.largest_upload(), space=status.space, expected_rate=self._expected.to(name),
            communities=shared_with(actor, section),
        )  # fmt: skip
        try:
            opened = self._storages.get(name)
        except StorageError as error:
            return common.model_copy(update={"cause": cause_of(error)})
        can = entries.abilities(opened.backend.extras)
        return common.model_copy(update={"url": opened.root_url, "read_only": opened.limits.read_only, "can": can})
