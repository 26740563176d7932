"""Estimates learn from how they fared."""

import pytest

from retouch_server.pipeline.calibration import MOST_RATIO, Calibration


def test_before_anything_is_known_nothing_changes() -> None:
    assert Calibration().factor(3) == 1.0
    assert Calibration().error == 0.0


def test_a_steady_ratio_is_learnt_for_its_load_and_above() -> None:
    calibration = Calibration()
    for _ in range(40):
        calibration.learn(2.0, 2.0 * calibration.factor(3), 5.0, 3)
    assert calibration.factor(3) == pytest.approx(2.5)
    assert calibration.factor(5) == pytest.approx(2.5), "the nearest load that is known"
    assert calibration.factor(0) == 1.0, "an edit alone says nothing of four"
    assert calibration.error == pytest.approx(0.0, abs=0.01), "what was told, not what was thought first"


def test_one_strange_edit_moves_it_little() -> None:
    calibration = Calibration()
    for _ in range(40):
        calibration.learn(1.0, 1.0, 1.0, 0)
    calibration.learn(1.0, 1.0, 1e6, 0)
    assert calibration.factor(0) < MOST_RATIO**0.2


def test_nothing_is_learnt_from_nothing() -> None:
    calibration = Calibration()
    for figures in ((0.0, 0.0, 1.0), (1.0, 1.0, 0.0)):
        calibration.learn(*figures, 0)
    assert (calibration.factor(0), calibration.error) == (1.0, 0.0)
