"""HTTP routes of the eligibility service."""
