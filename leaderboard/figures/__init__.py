"""Figures: the only folder that imports matplotlib, which comes with the extra ``figures``."""
