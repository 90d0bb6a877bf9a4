"""What the router does with events of others."""
