"""Noise schedules: variance preserving (linear, cosine, a DDPM beta table) and the rectified path."""
