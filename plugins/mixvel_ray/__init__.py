"""Training on Ray: every job a Ray Train run of its own, on a laptop or on a cluster."""
