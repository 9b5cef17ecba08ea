"""Bytes to frames to normalised luma to digests and perceptual hashes."""
