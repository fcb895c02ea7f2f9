"""The tables of a report, as grids of text that any format can write."""

from .report_tables import UNCERTAINTY, UNVERIFIED, View, measured, tables

__all__ = ["UNCERTAINTY", "UNVERIFIED", "View", "measured", "tables"]
