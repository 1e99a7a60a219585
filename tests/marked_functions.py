"""Functions of other packages, marked as derivations for studies of tests."""

from __future__ import annotations

import json
import math

import numpy as np

from seedfold.jobs.derivation import derivation

json_text = derivation(json.dumps)
text = derivation(str)
root = derivation(math.sqrt)
thing = derivation(object)
spread = derivation(np.linspace)
