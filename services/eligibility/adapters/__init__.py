"""What the use cases stand on: PostgreSQL."""
