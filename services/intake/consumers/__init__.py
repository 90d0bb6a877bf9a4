"""What intake learns from other services' events."""
