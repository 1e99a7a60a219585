"""What a job is: matrix, description, identity. Pure values: no torch, no file writes, no clocks.

This room imports from no other room, and every room may import from it. Read `study` first: it goes from a study file
to the description of every job.
"""
