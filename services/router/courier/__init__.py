"""The courier: claims what is due, sends it over lanes of their own per endpoint, and records what came of it."""
