"""Rows quoted from papers, and what is measured beside them."""

from .rows import PAPER, PUBLISHED, published

__all__ = ["PAPER", "PUBLISHED", "published"]
