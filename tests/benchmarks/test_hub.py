"""The page says of a hub's proxy what was measured."""

from __future__ import annotations

from benchmarks.hub import HEADING, section


def test_the_section_tells_medians_and_the_largest_memory() -> None:
    machine = {"cores": 2, "processor": "a processor", "memory": 24 << 30, "kernel": "6.1", "load": 0.1}
    said = section({
        "name": "hub", "started": "2026-11-21T00:00:00+00:00", "setup": {"size": 2 << 30, "rounds": 3},
        "machine": machine, "versions": {"commit": "abc"}, "rss": 127 << 20, "share": 0.951,
        "walls": {"direct": [2.0, 1.0, 4.0], "proxy": [2.5, 2.0, 8.0]},
    })  # fmt: skip
    assert said.startswith(HEADING)
    assert "| straight to the gateway | 2.00 (1.00–4.00) | 1024 |" in said
    assert "| through Traefik | 2.50 (2.00–8.00) | 819 |" in said
    assert "**95 %** as fast" in said
    assert "**127 MiB**" in said
