"""What comes out: the store of predictions, tables, ensembles, reports.

Its rooms may import from `jobs` alone. Read `store.published` first.
"""
