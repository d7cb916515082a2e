"""The gateway: use cases, transfer engine, REST API, client and command line."""
