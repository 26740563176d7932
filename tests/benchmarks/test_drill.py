"""What the drill makes of what it saw; the drill itself is `make drill`."""

from pathlib import Path

from benchmarks.drill.load import Edit
from benchmarks.drill.outcome import Mark, Phase, by_phase, plot, report, table
from benchmarks.drill.servers import total

NAMES = ("steady", "rolling restart", "kill -9 of a Triton", "kill -9 of an orchestrator", "steady again", "")
PHASES = [Phase(name, 10.0 * number) for number, name in enumerate(NAMES)]
WELL = [
    Edit(1.0, 2.0, 0, 0),
    Edit(11.0, 12.0, 0, 0),
    Edit(21.0, 22.0, 0, 2),
    Edit(29.9, 31.0, 1, 0),  # in flight when the orchestrator was killed
    Edit(41.0, 42.0, 0, 0),
]
TIMES = {"orchestrator_exit_status": 0.0, "triton_exit_status": 0.0, "triton_alert_s": 70.0, "orchestrator_alert_s": 75.0}
FIRED = {"RetouchTritonDown", "RetouchOrchestratorDown"}


def missed(edits: list[Edit], times: dict[str, float] = TIMES, fired: set[str] = FIRED) -> set[str]:
    outcome = report(PHASES, edits, times, fired)
    return {name for name, bound in outcome.bounds.items() if not bound.holds(outcome.figures[name])}


def test_every_edit_belongs_to_the_phase_in_which_it_ended() -> None:
    parts = {phase.name: edits for phase, _, edits in by_phase(PHASES, WELL)}
    assert list(parts) == list(NAMES[:-1])
    assert [len(edits) for edits in parts.values()] == [1, 1, 1, 1, 1]
    assert parts["kill -9 of an orchestrator"] == [WELL[3]]


def test_each_claim_can_fail() -> None:
    assert missed(WELL) == set()
    assert missed([*WELL, Edit(13.0, 14.0, 3, 0, "UnavailableError: gone")]) == {"rolling_failed", "failed"}
    assert missed([*WELL, Edit(23.0, 24.0, 0, 0, "wrong: …")]) == {"triton_kill_failed", "failed"}
    assert missed([*WELL, Edit(33.0, 34.0, 0, 0, "wrong: …")]) == {"orchestrator_kill_failed", "failed"}
    assert missed(WELL[:2] + WELL[4:]) == {"triton_kill_windows_retried", "orchestrator_kill_edits_retried"}
    assert missed(WELL, {**TIMES, "orchestrator_exit_status": 9.0}) == {"orchestrator_exit_status"}
    assert missed(WELL, {**TIMES, "triton_alert_s": 130.0}) == {"triton_alert_s"}
    assert missed(WELL, fired={*FIRED, "RetouchEditsFail"}) == {"unexpected_alerts"}


def test_the_table_names_what_went_wrong() -> None:
    text = table(PHASES, [*WELL, *[Edit(13.0, 14.0, 3, 0, "UnavailableError: gone")] * 2])
    assert "2 × UnavailableError: gone" in text
    assert len(text.splitlines()) == 1 + 1 + len(NAMES) - 1 + 1


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "drill.png"
    plot(place, PHASES, [Mark("before", -3.0), Mark("triton-1: kill -9", 20.5)], WELL)
    assert place.read_bytes().startswith(b"\x89PNG")


def test_series_are_summed_by_name_and_labels() -> None:
    text = "\n".join(
        [
            "# TYPE a_total counter",
            'a_total{x="1",y="2"} 3.0',
            'a_total{x="2"} 4.0',
            "a_total_more 9.0",
            "b 5.0",
            "b_created 7.0",
        ]
    )
    assert total(text, "a_total") == 7
    assert total(text, "a_total", 'x="1"') == 3
    assert (total(text, "b"), total(text, "c")) == (5, 0)
