"""The directive ``generator-table``: the generators of the registry when the book is built."""

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from ecgrepro.generators.registry import GENERATORS

COLUMNS = ("name", "generator", "in the paper", "learns", "what it is")


def rows() -> list[tuple[str, ...]]:
    """A row for each generator, under `COLUMNS`."""
    return [
        (
            entry.name,
            entry.short_title,
            "yes" if entry.in_paper else "no",
            "yes" if entry.learns else "no",
            entry.description,
        )
        for entry in GENERATORS.values()
    ]


class GeneratorTable(Directive):
    """A table without arguments or content."""

    def run(self) -> list[nodes.Node]:
        """The table as a node."""
        table, group = nodes.table(), nodes.tgroup(cols=len(COLUMNS))
        table += group
        group.extend(nodes.colspec(colwidth=1) for _ in COLUMNS)
        head, body = nodes.thead(), nodes.tbody()
        head += _row(COLUMNS)
        body.extend(_row(row) for row in rows())
        group += [head, body]
        return [table]


def _row(cells: tuple[str, ...]) -> nodes.row:
    row = nodes.row()
    for text in cells:
        entry = nodes.entry()
        entry += nodes.paragraph(text=text)
        row += entry
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("generator-table", GeneratorTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
