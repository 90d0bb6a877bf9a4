"""What recipients may ask and tell over HTTP."""
