"""Partner formats to entries to compiled lists to matchers; knows nothing of images."""
