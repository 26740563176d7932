"""What can be told of PromQL without a parser of it: an expression's selectors, and what it is without its comparisons."""

import re
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).resolve().parents[2] / "k8s/monitoring"

_SELECTOR = re.compile(r"(?<![\w:$\"])((?:retouch|nv|process|up|ALERTS)[\w:]*)(\{[^}]*\})?(?![\w:(])")
"""A series of ours, or of those that we rely on, with its labels."""
_NUMBER = r"(?:\d+(?:\.\d+)?(?:\s*\*\s*\d+(?:\.\d+)?)*)"
_COMPARISON = re.compile(rf"\s(?:==|!=|>=|<=|>|<)\s*{_NUMBER}")


def selectors(expr: str) -> set[str]:
    """Every instant selector in it.

    >>> sorted(selectors('rate(retouch_a_total{x="y"}[5m]) / up > 1 and sum by (up_to) (retouch:b:ratio)'))
    ['retouch:b:ratio', 'retouch_a_total{x="y"}', 'up']
    """
    without_groupings = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", expr)
    return {name + (labels or "") for name, labels in _SELECTOR.findall(without_groupings)}


def names(expr: str) -> set[str]:
    """The names of the series in it."""
    return {selector.partition("{")[0] for selector in selectors(expr)}


def uncompared(expr: str) -> str:
    """What is compared, without the comparison: it has a value also when there is nothing to tell.

    >>> uncompared("a > 14.4 * 0.005 and (b < 0.75 or b > 2)")
    'a and (b or b)'
    """
    return _COMPARISON.sub("", expr)


def rules() -> list[tuple[str, dict[str, Any]]]:
    """Every recording rule and alert, with the name of its file."""
    return [
        (path.stem, rule)
        for path in sorted((MONITORING / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[dict[str, Any]]:
    return [rule for _, rule in rules() if "alert" in rule]
