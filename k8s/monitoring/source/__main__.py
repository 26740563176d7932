"""Writes the generated files of k8s/monitoring/ again."""

from k8s.monitoring.source.prometheus_rules import ROOT, prometheus_rules


def generated() -> dict[str, str]:
    """Every generated file, by its path below k8s/monitoring/."""
    return {"prometheusrules.yaml": prometheus_rules()}


if __name__ == "__main__":
    for path, text in generated().items():
        (ROOT / path).write_text(text)
