"""Prevalence shift: test sets at other class ratios, and how well their prevalences can be told."""
