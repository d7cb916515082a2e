"""SciGate's engine beside its peers, in one interleaved run on this machine. Start it with ``./run bench``.

``cases`` says what is moved, ``places`` where from and to, ``peers`` and ``gateway`` who moves it, ``measure`` what it
costs, ``compare`` in which order; ``report`` writes it down. ``profile`` shows where the engine spends its time.
"""
