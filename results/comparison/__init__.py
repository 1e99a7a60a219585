"""Whether one setting is better than another: paired differences, their intervals, and tests with their sources.

It may import from `jobs` and the rooms `store`, `evaluation`, `ensembles`, `tables` of `results`. Read `pairs` first.
"""
