"""The trail's tables."""
