"""Predictions that were made elsewhere, read and checked.

It may import from `jobs` and the rooms `store`, `evaluation`, `ensembles`, `tables`, `comparison` of `results`. Read
`predictions` first.
"""
