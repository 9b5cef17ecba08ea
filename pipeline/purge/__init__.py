"""Purges: what the vault verifiably has leaves the landing zone."""
