"""What a spec says of a study: the figure that is drawn of its runs."""
