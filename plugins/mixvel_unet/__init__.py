"""Experts learned by U-Nets of diffusers."""
