"""Layers around a backend, one concern each."""
