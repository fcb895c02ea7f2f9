"""What a batch is made of: how classes are drawn and weighted, and how images are mixed or generated."""
