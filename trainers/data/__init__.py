"""Samples from files, their splits and folds, and the batches that training sees.

It may import from `jobs`, `results` and the room `setup` of `trainers`. Read `job_data` first.
"""
