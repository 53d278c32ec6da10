"""Selectors: which experts a sample asks at each step, and what it makes of their answers."""
