"""Bus handlers: every topic goes into the trail."""
