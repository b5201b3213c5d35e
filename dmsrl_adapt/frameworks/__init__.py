"""Wrappers for training frameworks that upstream does not serve; each is imported by its own name."""
