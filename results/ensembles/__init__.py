"""Combined predictions of several models: means, blends, the best members.

It may import from `jobs` and the rooms `store`, `evaluation` of `results`. Read `mean_ensemble` first.
"""
