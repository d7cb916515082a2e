"""The gateway's own pages at a hub."""
