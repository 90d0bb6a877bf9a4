"""Reads `law/` and decides with it: pure functions on facts, three-valued, with reasons. Knows no service."""
