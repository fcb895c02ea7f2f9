"""The leaderboard as a page, or a folder of pages, that asks no server for anything."""
