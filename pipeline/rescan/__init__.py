"""Rescans: ledgers of earlier runs held against newer lists, and what follows for shards."""
