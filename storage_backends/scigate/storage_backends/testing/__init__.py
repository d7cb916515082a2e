"""The conformance suite: every sentence of the storage contract as a case, for any backend.

With pytest, a plug-in's whole test file is::

    class TestMine(BackendConformance):          # from scigate.storage_backends.testing.pytest_suite
        @pytest.fixture
        def open_backend(self, tmp_path):
            return lambda: MyBackend(tmp_path)

Without pytest, ``run`` works inside one folder of a real storage and leaves it as it was.
What a backend claims in its limits and extras selects the cases; what it does not claim is not run.
"""

from .run import CASES, CaseResult, Outcome, run, run_case

__all__ = ["CASES", "CaseResult", "Outcome", "run", "run_case"]
