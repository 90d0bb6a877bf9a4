"""What every service stands on: bus, outbox, inbox, database, sealing, identity, HTTP, telemetry. Knows no service."""
