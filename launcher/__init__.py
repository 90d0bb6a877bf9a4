"""The `firstnotice` command: the only code that sees more than one service."""
