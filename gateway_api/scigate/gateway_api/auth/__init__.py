"""Who is asking: each module turns one kind of proof into an actor."""
