"""Tables of a user's own: rows of features in a file, sets of OpenML, and the collection of imbalanced-learn."""
