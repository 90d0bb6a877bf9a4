"""The router's rim: its tables and the file of its recipients' endpoints."""
