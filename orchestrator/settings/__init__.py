"""What a study, a machine and a site are configured with, checked before anything is written.

It may import from `jobs` and `results`. Read `cluster` first.
"""
