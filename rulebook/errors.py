"""What can be wrong with a law release; a bad release is never half applied."""


class LawError(ValueError):
    """A law file cannot be used. The message names the file, the line, the path in it, and what to write instead."""
