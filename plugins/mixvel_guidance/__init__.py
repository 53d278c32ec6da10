"""Guidance of conditional experts: none, classifier-free, and by a weaker model."""
