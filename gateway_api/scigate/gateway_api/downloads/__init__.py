"""What leaves the gateway: files with their digests, whole folders as archives."""
