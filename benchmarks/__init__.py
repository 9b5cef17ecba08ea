"""Measurements and acceptance runs, each by one command, on pictures of your own."""
