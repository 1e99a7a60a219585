"""The study `dark_side`: geological faults in seismic volumes. Its files, stages, figures of masks and sample data.

Nothing outside this folder imports it: study files name what is in it. Read `sample_data` first, which writes small
files in the real format.
"""
