"""What a report, an amendment and a stored record mean for each other: pure, no I/O."""
