"""Training in the process that asks for it."""
