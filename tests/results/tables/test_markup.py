"""Tables as LaTeX, Markdown and HTML: whatever stands in them comes out again where they are read."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.mathtext import MathTextParser

from seedfold.results.tables.markup import MARKUPS, to_markup
from seedfold.results.tables.readable import ReadableTable, make_readable

NASTY = ["a_b & 50% | <x>", r"c\d ~e^f #1 $2 {g}", "*bold* _x_ `y` [z](w) &amp;"]


def table(names: list[str] = NASTY) -> ReadableTable:
    """One row a name; the first has the best score, the last one's is undefined."""
    frame = pd.DataFrame(
        {
            "loss.weighting_%": names,
            "metric": "accuracy",
            "mean": [0.91666, -0.5, np.nan][: len(names)],
            "sd": [0.0213, np.nan, np.nan][: len(names)],
            "n": [6, 1, 0][: len(names)],
            "expected": [6, 6, 6][: len(names)],
        }
    )
    return make_readable(frame)


def test_markdown_is_a_pipe_table_with_special_letters_escaped() -> None:
    lines = to_markup(table(), "markdown", 3).splitlines()
    assert lines[:3] == [
        r"| weighting\_% | n | accuracy |",
        "| --- | ---: | ---: |",
        r"| a_b \& 50% \| \<x\> | 6 | **0.917** ± 0.021 |",
    ]
    assert lines[3].endswith("| 6 | -0.500 (1 of 6) |")
    assert lines[4].endswith("| 6 | - (0 of 6) |")
    for line, name in zip(lines[2:], NASTY, strict=True):
        cells = re.split(r"(?<!\\)\|", line)
        assert len(cells) == 5
        assert re.sub(r"\\([!-/:-@[-`{-~])", r"\1", cells[1]).strip() == name


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.bold: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
        if "b" in self._open:
            self.bold.append(data)


def test_html_holds_every_text_as_it_was() -> None:
    cells = _Cells()
    cells.feed(to_markup(table(), "html", 3))
    assert cells.rows[0] == ["weighting_%", "n", "accuracy"]
    assert [row[0] for row in cells.rows[1:]] == NASTY
    assert [row[2] for row in cells.rows[1:]] == ["0.917 ± 0.021", "-0.500 (1 of 6)", "- (0 of 6)"]
    assert cells.bold == ["0.917"]


def test_latex_has_escaped_names_and_numbers_that_its_mathematics_takes() -> None:
    text = to_markup(table(), "latex", 3)
    assert r"weighting\_\% & n & accuracy \\" in text
    assert r"a\_b \& 50\% \textbar{} \textless{}x\textgreater{} & 6 & $\mathbf{0.917} \pm 0.021$ \\" in text
    assert r"& 6 & $-0.500$ (1 of 6) \\" in text
    assert r"& 6 & -- (0 of 6) \\" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [len(re.split(r"(?<!\\)&", line)) for line in body] == [3] * 4
    assert re.search(r"\\begin\{tabular\}\{lrr\}", text)
    for formula in re.findall(r"(?<!\\)\$[^$]*(?<!\\)\$", text):
        MathTextParser("path").parse(formula)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles(tmp_path: Path) -> None:
    document = [r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}", to_markup(table(), "latex")]
    (tmp_path / "table.tex").write_text("\n".join([*document, r"\end{document}"]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("markup", MARKUPS)
def test_nothing_is_bold_where_nothing_is_compared(markup: str) -> None:
    text = to_markup(table(["alone"]), markup, 2)  # type: ignore[arg-type]
    assert "0.92" in text
    assert text.endswith("\n")
    assert not any(bold in text for bold in ("**", "<b>", "mathbf"))
