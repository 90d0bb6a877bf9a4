"""The router: decides who must be told, delivers the notices, and keeps at it until they are acknowledged."""
