"""The tables of a study as DataFrames, and as csv, json and parquet files.

It may import from `jobs` and the rooms `store`, `evaluation`, `ensembles` of `results`. Read `result_tables` first.
"""
