"""Jobs that combine the results of their parents, with figures and files for people.

It may import from `jobs` and the rooms `store`, `evaluation`, `ensembles`, `tables`, `comparison`, `imports`, `report`
of `results`. Read `submission` first.
"""
