"""Snakemake's logger plugin of the study: its events as lines of JSON on standard output.

Snakemake finds plugins by the names of top-level modules, so the front end puts this folder on the
path of the process that it starts (`ecgrepro.workflow.runner`), which reads the lines.
"""

import json
import sys
from logging import LogRecord
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase

# Attributes of a record that the front end reads, for the events that have them.
_KEPT = ("jobid", "job_id", "jobs", "rule_name", "wildcards", "reason", "log", "done", "total")


class LogHandler(LogHandlerBase):
    """Writes one line of JSON for each record: its event, its message and what `_KEPT` names."""

    writes_to_stream = property(lambda _: True)
    writes_to_file = property(lambda _: False)
    has_filter = property(lambda _: True)
    has_formatter = property(lambda _: True)
    needs_rulegraph = property(lambda _: False)

    def emit(self, record: LogRecord) -> None:
        """Write a record."""
        event = getattr(record, "event", None)
        line = {"event": event and str(event), "level": record.levelname}
        line["message"] = "" if record.msg is None else record.getMessage()
        for name in _KEPT:
            if (value := getattr(record, name, None)) is not None:
                line[name] = value
        text = json.dumps(line, default=_plain, ensure_ascii=False)
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _plain(value: Any) -> Any:
    """JSON values of Snakemake's own mappings and sequences."""
    if hasattr(value, "items"):
        return dict(value.items())
    try:
        return list(value)
    except TypeError:
        return str(value)
