"""The tables of a report, as grids of text that any format can write."""

from .report_tables import MEASURED, UNCERTAINTY, UNVERIFIED, View, tables

__all__ = ["MEASURED", "UNCERTAINTY", "UNVERIFIED", "View", "tables"]
