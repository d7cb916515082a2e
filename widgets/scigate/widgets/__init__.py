"""Dashboards in a notebook cell: portlets that show transfers, files and the gateway, and the dashboard of them."""

from .builtin import community, feedback, files, status, transfers, upload
from .dashboard import Dashboard, dashboard
from .portlet import Portlet
from .registry import Found, UnknownPortlet, portlets

__all__ = [
    "Dashboard", "Found", "Portlet", "UnknownPortlet", "community", "dashboard", "feedback", "files", "portlets",
    "status", "transfers", "upload",
]  # fmt: skip
