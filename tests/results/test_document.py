"""Sections as Markdown and HTML."""

from __future__ import annotations

import base64
import re

import pandas as pd

from recbole_hetcomp.results.document import Drawing, Picture, Points, Section, Table, html, markdown, write_document

CELLS = pd.DataFrame({"method": ["A|B", "<script>x"], "recall@50": ["0.2500 ± 0.0100", "–"], "share": ["99.0%", ""]})
MARKS = pd.DataFrame({"method": ["", ""], "recall@50": ["best", ""], "share": ["second", ""]})
PNG = b"\x89PNG not really"


def sections() -> list[Section]:
    blocks = [Table("A table", CELLS, MARKS, "p < 0.05"), Picture("one", "A picture", PNG), Points(("a", "<b>"))]
    return [Section("First & last", ["text <i>", *blocks])]


def test_markdown():
    text = markdown("Title", sections())
    assert text.startswith("# Title\n\n## First & last\n\ntext &lt;i>")
    assert r"A\|B" in text
    assert "**0.2500 ± 0.0100**" in text
    assert "<u>99.0%</u>" in text
    assert "<script>" not in text
    assert "![A picture](report_pictures/one.png)" in text
    assert "- a\n- &lt;b>" in text
    assert "p < 0.05" in text


def test_html():
    page = html("Title", sections())
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "text &lt;i&gt;" in page
    assert 'href="#s1-first-last"' in page
    assert 'id="s1-first-last"' in page
    best = page.split("0.2500")[0].rsplit("<td", 1)[1]
    assert "number best" in best
    encoded = base64.b64encode(PNG).decode()
    assert f'src="data:image/png;base64,{encoded}"' in page


def test_pictures_of_an_earlier_document_go(tmp_path):
    write_document(tmp_path, "report", "Title", sections())
    write_document(tmp_path, "report", "Title", [Section("Other", [Picture("two", "Another", PNG)])])
    assert [file.name for file in (tmp_path / "report_pictures").iterdir()] == ["two.png"]


def test_files_are_written_whole(tmp_path):
    write_document(tmp_path, "report", "Title", sections())
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "report.html",
        "report.md",
        "report_pictures/one.png",
    ]
    assert (tmp_path / "report_pictures" / "one.png").read_bytes() == PNG


def test_a_page_fits_a_telephone_and_what_is_wide_scrolls():
    page = html("Title", [*sections(), Section("Drawn", [Drawing("<div id='x'></div>", "a <caption>")])])
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    for wide in ("<table", "<img", "<div id='x'></div>"):
        before = page.split(wide)[0]
        box = max(before.rfind('<div class="scroll"'), before.rfind("<figure>"))
        assert box > max(before.rfind("</div>\n{%"), before.rfind("</figure>"), before.rfind("<section"))
    style = page.split("<style>")[1].split("</style>")[0]
    assert re.search(r"\.scroll, figure \{ overflow-x: auto;.*?background-attachment: local", style, re.S)
    for selector in ("th", "figure", "figcaption", "table"):  # each rule stands once
        assert len(re.findall(rf"^  {selector} \{{", style, re.M)) == 1, selector
    assert "a &lt;caption&gt;" in page
