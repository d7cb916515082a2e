"""Storages behind one contract; see ``backend`` for what a backend promises."""
