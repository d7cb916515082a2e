"""Dashboards in a notebook cell: portlets that show transfers, files and the gateway, and the dashboard of them."""
