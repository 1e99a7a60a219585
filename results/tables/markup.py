"""Tables for papers, pages and README files: LaTeX, HTML and Markdown, every name escaped, the best values bold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from seedfold.results.tables.readable import DECIMALS, MISSING, Measured, ReadableTable, exact_text

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

Markup = Literal["latex", "markdown", "html"]
MARKUPS: tuple[Markup, ...] = get_args(Markup)
_LATEX_TEXT = {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
"""Characters that pandas does not escape, or that the fonts of a plain LaTeX document show as others."""
_LATEX_MISSING = "--"
_MARKDOWN_SPECIAL = re.compile(r"[\\|*<>\[\]`~&$#]|(?<!\w)_|_(?!\w)")


def to_markup(table: ReadableTable, markup: Markup, decimals: int = DECIMALS) -> str:
    """Return a table as text that ends in a newline. LaTeX needs ``\\usepackage{booktabs}``."""
    write: dict[Markup, Callable[[ReadableTable, int], str]] = {
        "latex": _to_latex, "markdown": _to_markdown, "html": _to_html,
    }  # fmt: skip
    return write[markup](table, decimals).rstrip("\n") + "\n"


def _to_latex(table: ReadableTable, decimals: int) -> str:
    styler = _styler(table, "latex", lambda cell: _latex_number(cell, decimals), _latex_text)
    tabular = str(styler.to_latex(hrules=True, column_format="".join(_alignments(table, "l", "r"))))
    return f"% The preamble needs \\usepackage{{booktabs}}.\n{tabular}"


def _latex_number(cell: Measured, decimals: int) -> str:
    value, sd, count = cell.texts(decimals)
    if cell.value is None:
        value = _LATEX_MISSING
    else:
        shown = rf"\mathbf{{{value}}}" if cell.is_best else value
        value = f"${shown} \\pm {sd}$" if sd else f"${shown}$"
    return f"{value} ({count})" if count else value


def _latex_text(escaped: object) -> str:
    if escaped == MISSING:
        return _LATEX_MISSING
    return "".join(_LATEX_TEXT.get(letter, letter) for letter in str(escaped))


def _to_html(table: ReadableTable, decimals: int) -> str:
    styler = _styler(table, "html", lambda cell: _with_spread(cell, decimals, "<b>", "</b>"), str)
    return str(styler.to_html(exclude_styles=True))


def _with_spread(cell: Measured, decimals: int, before: str, after: str) -> str:
    value, sd, count = cell.texts(decimals)
    shown = f"{before}{value}{after}" if cell.is_best else value
    return shown + (f" ± {sd}" if sd else "") + (f" ({count})" if count else "")


def _styler(
    table: ReadableTable, escape: str, number: Callable[[Measured], str], text: Callable[[object], str]
) -> Styler:
    """A styler whose texts are escaped by pandas before ``text`` sees them."""
    frame = table.frame.map(lambda cell: cell if isinstance(cell, Measured) else exact_text(cell))
    styler = frame.reset_index(drop=True).style.hide(axis="index")
    styler = styler.format(lambda cell: number(cell) if isinstance(cell, Measured) else text(cell), escape=escape)
    return styler.format_index(text, escape=escape, axis="columns")


def _to_markdown(table: ReadableTable, decimals: int) -> str:
    """A pipe table as GitHub and Pandoc read it; pandas would need another library for it."""
    rows = [
        [_with_spread(cell, decimals, "**", "**") if isinstance(cell, Measured) else _markdown_text(exact_text(cell))
         for cell in row]
        for row in table.frame.itertuples(index=False)
    ]  # fmt: skip
    lines = [[_markdown_text(name) for name in table.columns], _alignments(table, "---", "---:"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_text(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(lambda found: "\\" + found[0], text)


def _alignments(table: ReadableTable, left: str, right: str) -> Sequence[str]:
    """``left`` for columns of texts, ``right`` for columns of numbers."""
    return [right if _holds_numbers(table, name) else left for name in table.columns]


def _holds_numbers(table: ReadableTable, name: str) -> bool:
    from pandas.api.types import is_number

    if name in table.measured:
        return True
    cells = [cell for cell in table.frame[name] if exact_text(cell) != MISSING]
    return bool(cells) and all(is_number(cell) and not isinstance(cell, bool) for cell in cells)
