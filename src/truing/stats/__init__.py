"""Uncertainty over seeds and items: intervals, paired contrasts, and the tables made of them."""
