"""Monitoring: what happened is counted, kept in windows, and shown."""
