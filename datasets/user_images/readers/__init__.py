"""The readers of a user's own images, a file for each layout."""
