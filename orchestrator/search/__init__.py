"""Searches: which points of a study are tried next, for how long, and what they have shown.

Read `decide` first. Nothing here reads or writes a file: the same history gives the same decision everywhere.
"""
