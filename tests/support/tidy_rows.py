"""What tables that tests write by hand have in common, so that a new column of the tidy table is added here alone."""

COMPLETE = {"status": "complete", "reason": "", "verified": True, "device_seconds": 1.0}  # of a complete trial
