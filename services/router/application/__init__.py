"""The router's use cases, on ports: deciding, reviewing, acknowledging."""
