"""The census: an independent account of every input asset, from what lies there."""
