"""Handlers of the topics that the eligibility service reads."""
