"""Where real servers deviate from the contract: server → case → why.

A deviating case is run and must fail; when it passes, the line here is out of date and the suite says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEVIATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "seaweedfs": {},
    "rclone": {},
    "moto": {},
}
