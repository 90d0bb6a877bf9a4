"""What the audit service does by itself, beside consuming."""
