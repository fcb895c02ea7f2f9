"""A user's own images: ``folder:PATH``, ``csv:FILE`` and ``npz:FILE``, from their files to a data set."""
