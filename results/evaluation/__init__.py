"""What predictions are worth: folds, out-of-fold predictions, curves, and queries over many jobs.

It may import from `jobs` and the room `store` of `results`. Read `axes` first.
"""
