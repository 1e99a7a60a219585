"""Prevalence shift: test sets with other class ratios, and what they do to metrics and decisions.

It may import from `jobs` and the rooms `store`, `evaluation`, `ensembles`, `tables`, `comparison`, `imports`, `report`,
`stages` of `results`. Read `tables` first.
"""
