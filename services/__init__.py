"""The four services. None imports another; what they share is in contracts, kernel and rulebook."""
