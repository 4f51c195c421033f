"""Uploads: what is accepted, sessions, the arrival of the bytes, and the sweep of what was left standing."""
