"""Errors of data that is missing or cannot be used."""


class DataError(ValueError):
    """Missing or invalid data; the message says what to do."""


class UnreadableError(DataError):
    """One image that cannot be read, while others may be fine; the message names it."""
