"""Reading of PromQL expressions: which metrics and labels they use. Not a parser: strings, names and brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SELECTOR = re.compile(r"\b(unitscope_\w+)\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
TEMPLATE = re.compile(r"\$labels\.(\w+)|\{\{(\w+)\}\}")  # of an alert, and of a legend


@dataclass
class Used:
    """What an expression uses."""

    metrics: set[str] = field(default_factory=set)
    matchers: list[tuple[str, str, str, str]] = field(default_factory=list)  # metric, label, operator, value
    labels: set[str] = field(default_factory=set)  # of groupings and templates


def used_by(expression: str, *templates: str) -> Used:
    """Return the metrics and labels of an expression and of the texts that describe its result."""
    used = Used()
    for metric, matchers in SELECTOR.findall(expression):
        used.metrics.add(metric)
        used.matchers += [(metric, *matcher) for matcher in MATCHER.findall(matchers)]
    for names in GROUPING.findall(expression):
        used.labels |= {name.strip() for name in names.split(",") if name.strip()}
    for text in templates:
        used.labels |= {first or second for first, second in TEMPLATE.findall(text)}
    return used
