"""Pure decisions about the trail."""
