"""One reader for each layout in which data sets come."""
