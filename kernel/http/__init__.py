"""The web edge that all services share: the gate before the body, problem documents, health, metrics, graceful stop."""
