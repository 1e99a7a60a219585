"""The digest of a file's syntax changes with what Python does, and with nothing else."""

from __future__ import annotations

import pytest

from seedfold.orchestrator.code.syntax import syntax_digest

SOURCE = '''
"""A module."""


class Net:
    """A network."""

    width = 3

    def forward(self, x):
        """Double it."""
        # twice
        return self.width * x + (1_000, "a", 'b')[0]
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# twice", "# two times"),
        ('"""A module."""', ""),
        ('"""A network."""', '"""Another one."""'),
        ('        """Double it."""\n', ""),
        ("self.width * x", "(self.width\n            * x)"),
        ("'b'", '"b"'),
        ("1_000", "1000"),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(old: str, new: str) -> None:
    assert old in SOURCE
    assert syntax_digest(SOURCE.replace(old, new).encode()) == syntax_digest(SOURCE.encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("width = 3", "width = 4"),
        ("width = 3", "width = 3.0"),
        ("width = 3", "width = True"),
        ("'b'", "b'b'"),
        ("return self", "return -self"),
        ("x + (", "x - ("),
        ("    width = 3\n", ""),
        ("class Net:", "class Net(object):"),
    ],
)
def test_whatever_is_computed_counts(old: str, new: str) -> None:
    assert old in SOURCE
    assert syntax_digest(SOURCE.replace(old, new).encode()) != syntax_digest(SOURCE.encode())


def test_what_python_cannot_parse_has_no_syntax() -> None:
    assert syntax_digest(b"def f(:") is None
    assert syntax_digest(b"x = '\0'") is None
