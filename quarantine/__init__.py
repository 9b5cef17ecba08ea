"""Vault, keys and manifest: where matches are sealed, and how people meet them."""
