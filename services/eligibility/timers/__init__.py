"""Work that the calendar starts."""
