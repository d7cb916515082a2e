"""Events over HTTP: the streams, and the webhooks."""
