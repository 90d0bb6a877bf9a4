"""The audit service: the trail of every event, exactly once, and what auditors do with it."""
