"""Estimates learn from how they fared."""

from statistics import median

import numpy as np
import pytest

from retouch_server.pipeline.calibration import Calibration


def told(calibration: Calibration, own_s: float, wait_s: float, in_flight: int, actual_s: float) -> float:
    """What was said of an edit that then took `actual_s`."""
    seconds = calibration.seconds(own_s, wait_s, in_flight)
    calibration.learn(own_s, wait_s, in_flight, seconds, actual_s)
    return seconds


def test_before_anything_is_known_an_edit_takes_its_time_and_what_others_take() -> None:
    assert Calibration().seconds(2.0, 1.5, 3) == pytest.approx(3.5)
    assert Calibration().error == 0.0


def test_a_machine_that_is_slower_than_thought_is_learnt() -> None:
    calibration = Calibration()
    for _ in range(60):
        told(calibration, 2.0, 0.0, 0, 3.0)
    assert calibration.seconds(4.0, 0.0, 0) == pytest.approx(6.0, rel=0.02)
    assert calibration.error < 0.05


def test_under_a_steady_load_an_edit_shares_with_those_that_will_come() -> None:
    """Processor sharing (Kleinrock 1967): four clients, each with an edit at any time."""
    rng, calibration, errors = np.random.default_rng(0), Calibration(), list[float]()
    running: list[dict[str, float]] = []
    now_s = 0.0
    for _ in range(120):
        while len(running) < 4:
            own_s = float(rng.lognormal(0.3, 0.7))
            ends_s = [max(0.0, each["began"] + each["own"] - now_s) for each in running]
            wait_s = sum(min(own_s, left) for left in ends_s)
            seconds = calibration.seconds(own_s, wait_s, len(running))
            running.append(
                {"own": own_s, "left": own_s, "began": now_s, "wait": wait_s, "others": len(running), "told": seconds}
            )
        first = min(running, key=lambda each: each["left"])
        elapsed_s = first["left"] * len(running)
        now_s += elapsed_s
        for each in running:
            each["left"] -= elapsed_s / len(running)
        running.remove(first)
        actual_s = now_s - first["began"]
        errors.append(abs(first["told"] / actual_s - 1))
        calibration.learn(first["own"], first["wait"], int(first["others"]), first["told"], actual_s)
    assert median(errors[:4]) > 0.3, "nobody can know at first"
    assert median(errors[20:]) < 0.15
    assert calibration.error < 0.2


def test_one_strange_edit_moves_it_little() -> None:
    calibration = Calibration()
    for _ in range(40):
        told(calibration, 1.0, 0.0, 0, 1.0)
    for strange_s in (1e6, 1e-6):
        told(calibration, 1.0, 0.0, 0, strange_s)
        assert 0.5 < calibration.seconds(1.0, 0.0, 0) < 2.0


def test_nothing_is_learnt_from_nothing() -> None:
    calibration = Calibration()
    for own_s, seconds, actual_s in ((0.0, 0.0, 1.0), (1.0, 1.0, 0.0)):
        calibration.learn(own_s, 0.0, 0, seconds, actual_s)
    assert calibration.seconds(1.0, 0.0, 0) == pytest.approx(1.0)
    assert calibration.error == 0.0
