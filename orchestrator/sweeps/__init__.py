"""A sweep of any Hydra program as a study: read, launched, waited for, and given back to Hydra."""
