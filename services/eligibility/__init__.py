"""Matches every reported person to the programs that the law gives, and says so again when an answer changes."""
