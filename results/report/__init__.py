"""The report of a study: one HTML page with tables and figures.

It may import from `jobs` and the rooms `store`, `evaluation`, `ensembles`, `tables`, `comparison`, `imports` of
`results`. Read `page` first.
"""
