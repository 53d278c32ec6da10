"""Plugins of a third party: what mixvel's own do, done from outside."""
