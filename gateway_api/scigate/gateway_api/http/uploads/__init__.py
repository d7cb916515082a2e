"""Uploads over HTTP: tus 1.0, the IETF draft, and what JSON says of them."""
