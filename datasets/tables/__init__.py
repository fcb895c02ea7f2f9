"""Tables: rows of numbers and categories, their encoding, and the sets that are read from official files."""
