"""Intake's tables."""
