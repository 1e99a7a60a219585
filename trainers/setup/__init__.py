"""What every job needs before it computes: its settings, objects from configuration, threads, devices, random states.

It may import from `jobs` and `results`. Read `settings` first.
"""
