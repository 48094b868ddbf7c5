"""The parts of a report, and what they are in Markdown and HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

GENERATOR = '<meta name="generator" content="rlrun report">'
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #ddd }
h3 { font-size: 1.05rem; margin-top: 1.8rem }
figure { margin: 1rem 0 } img { max-width: 100%; height: auto } figcaption, .below { color: #555; font-size: .9rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .88rem; margin: .5rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e4e4e4; text-align: right; vertical-align: top }
th { border-bottom: 2px solid #999; font-weight: 600; vertical-align: bottom }
td { white-space: nowrap } td small { display: block; color: #555 }
th.text, td.text { text-align: left; min-width: 7rem; white-space: normal; overflow-wrap: anywhere }
.warning { background: #fff4d6; border-left: 4px solid #d9a400; padding: .4rem .8rem; margin: .4rem 0 }
"""


class Part(Protocol):
    """A part of a report."""

    def as_markdown(self) -> str:
        """A block of Markdown."""
        ...

    def as_html(self) -> str:
        """An element of a page."""
        ...


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2

    def as_markdown(self) -> str:
        """`## text`."""
        return f"{'#' * self.level} {self.text}"

    def as_html(self) -> str:
        """`<h2>`."""
        return f"<h{self.level}>{escape(self.text)}</h{self.level}>"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph, perhaps one that must not be overlooked."""

    text: str
    warning: bool = False

    def as_markdown(self) -> str:
        """The text."""
        return f"> **{self.text}**" if self.warning else self.text

    def as_html(self) -> str:
        """`<p>`."""
        return f'<p class="warning">{escape(self.text)}</p>' if self.warning else f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; columns of text are on the left, all others on the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: str = ""  # what its columns mean
    left: int = 1  # how many columns of text there are

    def as_markdown(self) -> str:
        """A table of Markdown, and what its columns mean."""
        rule = [*["---"] * self.left, *["---:"] * (len(self.head) - self.left)]
        cells = [self.head, rule, *([cell.replace("|", "\\|") for cell in row] for row in self.rows)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        return f"{table}\n\n{self.below}" if self.below else table

    def as_html(self) -> str:
        """`<table>`."""
        head, *rows = ("".join(self._cells(*row)) for row in [(self.head, "th"), *((row, "td") for row in self.rows)])
        below = f'\n<p class="below">{escape(self.below)}</p>' if self.below else ""
        body = "\n".join(f"<tr>{row}</tr>" for row in [head, *rows])
        return f'<div class="wide"><table>\n{body}\n</table></div>{below}'

    def _cells(self, row: Sequence[str], tag: str) -> Iterator[str]:
        """Elements of a row; an interval stands under its value."""
        for column, cell in enumerate(row):
            value, bracket, interval = escape(cell).partition(" [") if column >= self.left else (escape(cell), "", "")
            below = f"<small>[{interval}</small>" if bracket else ""
            kind = ' class="text"' if column < self.left else ""
            yield f"<{tag}{kind}>{value}{below}</{tag}>"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in two files, `<name>.png` and `<name>.svg`, next to the report; the page has it inside."""

    name: str
    caption: str
    png: bytes
    svg: bytes

    def as_markdown(self) -> str:
        """A link to the file."""
        return f"![{self.caption}]({self.name}.png)"

    def as_html(self) -> str:
        """`<img>` with the drawing itself as its source."""
        source = f"data:image/svg+xml;base64,{b64encode(self.svg).decode()}"
        caption = escape(self.caption)
        return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def markdown(parts: Sequence[Part]) -> str:
    """The report as one text."""
    return "\n\n".join(part.as_markdown() for part in parts) + "\n"


def page(title: str, parts: Sequence[Part]) -> str:
    """The report as one HTML page that needs no other file."""
    body = "\n".join(part.as_html() for part in parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{GENERATOR}\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
