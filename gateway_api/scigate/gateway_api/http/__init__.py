"""REST: handlers translate between HTTP and the gateway, and decide nothing."""
