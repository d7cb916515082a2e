"""Uploads on their way from a client to a storage."""
