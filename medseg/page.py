"""HTML: a page, its sections and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 Helvetica, Arial, sans-serif; color: #222; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: 0; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid #e4e4e4; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; }
.words { text-align: left; }
td:not(.words) { white-space: nowrap; }
.wide { overflow-x: auto; }
svg, img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
figure { margin: 1rem 0; } figcaption { color: #555; }
.note { color: #555; } .warning { border-left: 4px solid #d55e00; padding-left: .8rem; }
@media print { body { max-width: none; margin: 0; font-size: 11px; }
  tr, svg, figure { break-inside: avoid; } h2 { break-after: avoid; }
  th, td { padding-right: .4rem; }
  thead { display: table-header-group; } .wide { overflow: visible; } }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole page; it asks for nothing from anywhere."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(sections) + "\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A part of the page under its heading."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(words: str, kind: str = "note") -> str:
    """Words; `kind` is "note" or "warning"."""
    return f'<p class="{kind}">{escape(words)}</p>'


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table whose first `words` columns are words, the others numbers.

    The first cell of a row is its head.
    """
    kinds = [' class="words"' if k < words else "" for k in range(len(heads))]
    head = "".join(
        f'<th scope="col"{kind}>{escape(text)}</th>'
        for text, kind in zip(heads, kinds, strict=True)
    )
    lines = []
    for row in rows:
        cells = [f'<th scope="row"{kinds[0]}>{escape(row[0])}</th>']
        cells += [
            f"<td{kind}>{escape(text)}</td>" for text, kind in zip(row[1:], kinds[1:], strict=True)
        ]
        lines.append("<tr>" + "".join(cells) + "</tr>\n")
    return (
        f'<div class="wide"><table>\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>\n</table></div>"
    )


def picture(png: str, words: str) -> str:
    """A PNG, in base64, with what it shows."""
    alt = escape(words, quote=True)
    return (
        f'<figure><img src="data:image/png;base64,{png}" alt="{alt}">'
        f"<figcaption>{escape(words)}</figcaption></figure>"
    )
