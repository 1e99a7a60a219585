"""The study `seti`: the search for signals from elsewhere in spectrograms: its files, its sample data.

Nothing outside this folder imports it: study files name what is in it. Read `sample_data` first, which writes small
files in the real format.
"""
