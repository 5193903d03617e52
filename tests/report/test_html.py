"""The template of the closeness report: everything escaped but what is marked as HTML."""

import re

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from ecgrepro.report.html import Picture, render

EVIL = "<script>alert('1')</script>&\""


def content(text: str, table: Markup | None) -> dict:
    picture = Picture(text, "iVBORw0=")
    return {
        "title": text,
        "opening": Markup("<p>opening</p>"),
        "beside_floor": picture,
        "everything": {"table": table, "missing": [text, text]},
        "rhythms": {"table": table, "missing": []},
        "pictures": [picture, picture],
        "metrics": table,
        "facts": {text: text, "seed": 0},
    }


def test_all_text_is_escaped_and_rendered_markdown_is_not():
    page = render(content(EVIL, Markup("<table><tr><td>1</td></tr></table>")))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert page.count("<table>") == 3 and page.count("<figure>") == 3
    assert "<li>seed: 0</li>" in page and "Without a value, or cut short:" in page
    assert "Without a value:" not in page  # an empty list has no heading
    for attribute in re.findall(r'alt="([^"]*)"', page):
        assert attribute.endswith("&amp;&#34;")


def test_rhythms_with_too_few_records_are_a_sentence():
    page = render(content("a title", None))
    assert "No rhythm has enough records on its own." in page
    assert "bold where their intervals" not in page and "<title>a title</title>" in page


def test_a_value_that_is_missing_is_an_error_and_no_gap():
    incomplete = content("a title", None)
    del incomplete["facts"]
    with pytest.raises(UndefinedError, match="facts"):
        render(incomplete)
