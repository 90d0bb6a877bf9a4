"""The use cases of intake, on values and inside transactions that others open."""
