"""The ports of a hub for tests."""

from __future__ import annotations

from pathlib import Path

from scigate.hub_config.testing import free_ports


def test_they_are_different_and_the_kernel_gives_none_to_a_connection_before_the_hub_listens() -> None:
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    found = free_ports(50)
    assert len(set(found)) == 50
    assert max(found) < first
