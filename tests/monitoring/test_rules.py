"""promtool checks every rule, and tests every rule: what fires, what does not, and the minutes in which nothing happens."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.monitoring.expressions import MONITORING, alerts, names, rules

TESTS = sorted((Path(__file__).parent / "rules").glob("*.yaml"))


def promtool(*arguments: str | Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("there is no `promtool` here: Debian's package is `prometheus`")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_promtool_checks_every_rule() -> None:
    promtool("check", "rules", *sorted((MONITORING / "rules").glob("*.yaml")))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_tests(path: Path) -> None:
    promtool("test", "rules", path)


def test_every_alert_has_a_case_that_fires_one_that_does_not_and_a_silent_one() -> None:
    fires: Counter[tuple[str, str]] = Counter()
    quiet: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for test in case.get("alert_rule_test", []):
                name = test["alertname"]
                for alert in test["exp_alerts"]:
                    fires[name, alert["exp_labels"].get("window", "")] += 1
                quiet[name] += not test["exp_alerts"]
                silent[name] += not test["exp_alerts"] and case["name"].startswith(("silence", "all are up"))
    for alert in alerts():
        assert fires[alert["alert"], alert["labels"].get("window", "")], f"no case in which {alert['alert']} fires"
        assert quiet[alert["alert"]], f"no case in which {alert['alert']} does not fire"
        assert silent[alert["alert"]], f"no silent minute for {alert['alert']}"


def test_every_record_has_a_value_in_one_case_and_none_in_silence() -> None:
    values, none = set[str](), set[str]()
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for test in case.get("promql_expr_test", []):
                (values if test["exp_samples"] else none).update(names(test["expr"]))
    records = {rule["record"] for _, rule in rules() if "record" in rule}
    assert records - values == set()
    assert records - none == set()
