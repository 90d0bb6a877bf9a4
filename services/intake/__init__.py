"""Takes encounters from agencies' records systems; a 202 from here means that nothing can be lost any more."""
