"""The results of finished jobs on disk: one folder for each attempt, predictions, metrics, values.

It may import from `jobs`. Read `published` first.
"""
