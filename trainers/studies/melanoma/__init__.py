"""The study `melanoma`: skin lesions in photographs and tables of patients. Its stages, tables and sample data.

Nothing outside this folder imports it: study files name what is in it. Read `sample_data` first, which writes small
files in the real format.
"""
