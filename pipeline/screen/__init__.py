"""Snapshots as people see them."""
