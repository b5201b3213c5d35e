"""Integrations with training frameworks; import each by its own name."""
