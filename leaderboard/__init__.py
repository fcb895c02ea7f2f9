"""What came out: a tidy table of rows in, statistics and reports out. Knows neither torch, ray nor mlflow."""
