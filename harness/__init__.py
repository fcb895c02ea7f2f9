"""From a spec to rows: the only folder that imports the other three."""
