"""Events: the journal as a stream that misses nothing."""
