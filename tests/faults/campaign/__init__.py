"""A fault campaign: faults drawn from a seed strike an installation at work; then everything must be as promised."""
