"""Dashboards in a notebook cell: portlets that show transfers, files and the gateway, and the dashboard of them."""

from .dashboard import Dashboard, dashboard
from .portlet import Portlet
from .portlets import community, feedback, files, status, transfers, upload
from .registry import Found, UnknownPortlet, installed

__all__ = [
    "Dashboard", "Found", "Portlet", "UnknownPortlet", "community", "dashboard", "feedback", "files", "installed",
    "status", "transfers", "upload",
]  # fmt: skip
