"""What crosses a boundary: reports, event types, webhooks and problem types. Knows nothing else of the project."""
