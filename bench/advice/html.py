"""A table for notebooks that looks like the page's."""

from __future__ import annotations

from html import escape

import pandas as pd

CELL = "text-align: left; vertical-align: top; padding: 0.25rem 0.6rem; border-bottom: 1px solid #8888; "
CELL += "white-space: nowrap"


def html_table(text: pd.DataFrame, *paragraphs: str) -> str:
    """Paragraphs, then a table whose first column heads each line; everything is escaped."""
    above = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    head = "".join(f'<th style="{CELL}">{escape(str(column))}</th>' for column in text.columns)
    body = "".join(
        "<tr>"
        + f'<th scope="row" style="{CELL}; font-weight: 600">{escape(str(first))}</th>'
        + "".join(f'<td style="{CELL}">{escape(str(cell))}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in text.itertuples(index=False)
    )
    table = f'<table style="border-collapse: collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x: auto">{above}{table}</div>'
