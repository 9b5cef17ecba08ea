"""The robustness benchmark: how well listed pictures are found again after they were altered."""
