"""Experts from elsewhere: diffusers folders, a user's own modules, azula denoisers, Paris-style folders."""
