"""From a store to a figure of the appendix: the trials with what may be an axis, and the families of figures."""
