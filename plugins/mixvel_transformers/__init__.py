"""Transformers of patches: the expert and the router `dit`."""
