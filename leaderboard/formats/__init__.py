"""The leaderboard as Markdown, LaTeX, CSV, JSON and Parquet: the same rows give the same bytes."""
