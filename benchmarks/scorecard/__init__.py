"""``./run scorecard``: what has been proven of SciGate's promises, how often it was tried, and what falls short."""
