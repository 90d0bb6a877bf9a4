"""Pure decisions of the eligibility service: no I/O, no framework."""
