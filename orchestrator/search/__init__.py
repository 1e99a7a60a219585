"""Searches: which points of a study are tried next, for how long, and what they have shown.

Read `decide` first: it is pure, and the same history gives the same decision everywhere. `study_search.py` reads the
history of a study from its files, and records decisions.
"""
