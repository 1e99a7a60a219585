"""The study `prevalence_shifts`: image classifiers at other class ratios. Its stages, loss weights and sample data.

Nothing outside this folder imports it: study files name what is in it. Read `sample_data` first, which writes small
files in the real format.
"""
