"""Samples from files, their splits and folds, and the order in which training sees them."""
