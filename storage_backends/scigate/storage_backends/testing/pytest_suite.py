"""The conformance suite as a pytest class; see ``scigate.storage_backends.testing``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import pytest

from ..backend import Backend
from .case import Case, Seed
from .run import CASES, Outcome, run_case


class BackendConformance:
    """Inherit from it and say by the fixture ``open_backend`` how to open another client of one storage.

    ``deviations`` (case → why) are run and must fail. The other fixtures may be overridden too.
    """

    deviations: ClassVar[Mapping[str, str]] = {}
    many: ClassVar[int] = 1200

    @pytest.fixture
    def open_backend(self) -> Callable[[], Backend]:
        raise NotImplementedError("give a fixture open_backend: each call returns a further client of one storage")

    @pytest.fixture
    def backend(self, open_backend: Callable[[], Backend]) -> Backend:
        """The client that the cases work with; give it a wider scope where opening one takes long."""
        return open_backend()

    @pytest.fixture
    def folder(self) -> str:
        """The folder to work in, with a trailing slash."""
        return "scigate-conformance/"

    @pytest.fixture
    def seed(self) -> Seed | None:
        """How to place a file when the backend cannot."""
        return None

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """What no error may show."""
        return ()

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_contract(
        self,
        case: Case,
        *,
        backend: Backend,
        open_backend: Callable[[], Backend],
        folder: str,
        seed: Seed | None,
        secrets: tuple[str, ...],
    ) -> None:
        result = run_case(
            case,
            open_backend,
            folder,
            backend=backend,
            seed=seed,
            secrets=secrets,
            many=self.many,
            deviations=self.deviations,
        )
        if result.outcome is Outcome.UNCLAIMED:
            pytest.skip(result.seen)
        if result.outcome is Outcome.DEVIATES:
            pytest.xfail(f"{self.deviations[case.name]} (seen: {result.seen})")
        if result.outcome is Outcome.STALE:
            pytest.fail(f"{case}: it passes, so take it off the table of deviations: {self.deviations[case.name]}")
        if not result.good:
            pytest.fail(f"{case}: {result.seen}\nThe contract: {case.promise}")
