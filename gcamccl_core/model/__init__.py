"""Room two: the collaborative network, its losses and its training."""
