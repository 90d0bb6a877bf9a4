"""Use cases of the eligibility service, on ports."""
