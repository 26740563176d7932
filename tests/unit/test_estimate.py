"""The estimate follows what was measured."""

import pytest

from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.fake import FakeBackend
from retouch_server.pipeline.estimate import LOOK_S, ROWS_S, UNMEASURED_S, Estimator, measure, work_of
from retouch_server.pipeline.findings import Findings
from retouch_server.pipeline.plan import Plan, make_plan
from retouch_server.pipeline.request import EditRequest, Options, StageName, TextRemoval
from retouch_server.pipeline.stages.context import StageReport
from tests.support.models import WINDOW_PX, fake_models


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def plan_of(height: int = 200, width: int = 200, **options: object) -> tuple[Plan, EditRequest]:
    catalogue = Catalogue(FakeBackend(fake_models()))
    await catalogue.refresh()
    request = EditRequest(height, width, 3, options=Options(**options))  # type: ignore[arg-type]
    return make_plan(request, Findings(), catalogue), request


def stages_s(estimator: Estimator, planned: tuple[Plan, EditRequest]) -> float:
    return sum(estimator.estimate(*planned).stages_s.values())


async def test_edits_that_run_already_take_their_share() -> None:
    """All have one stage at the same model, with more windows than may be there at once: equal shares."""
    clock, planned = Clock(), await plan_of(scale=2)
    estimator = Estimator(1, clock)
    (stage,), own = planned[0].stages, estimator.estimate(*planned)
    assert own.wait_s == 0.0
    with estimator.running(own, *planned) as run:
        run.reports = [report := StageReport(stage)]
        assert estimator.estimate(*planned).wait_s == pytest.approx(own.own_s, rel=0.02)
        report.tiles_under_way = 1
        report.tiles_run = len(stage.to_run) - 1
        clock.now_s += 1000.0
        left_s = own.stages_s[StageName.UPSCALE] / len(stage.to_run)
        assert estimator.estimate(*planned).wait_s == pytest.approx(left_s + own.legs[-1].seconds, rel=0.02)
        assert estimator.estimate(*planned).in_flight == 1
    assert estimator.estimate(*planned).wait_s == 0.0


async def test_an_edit_that_waits_for_its_client_takes_nothing() -> None:
    clock, planned = Clock(), await plan_of(scale=2)
    estimator = Estimator(clock=clock)
    own = estimator.estimate(*planned)
    with estimator.running(own, *planned) as run:
        run.reports = [report := StageReport(planned[0].stages[0])]
        clock.now_s += own.own_s + 0.1
        assert estimator.estimate(*planned).wait_s == 0.0
        report.tiles_under_way = 1
        assert estimator.estimate(*planned).wait_s > 0.0


async def test_how_far_an_edit_is_behind_is_what_is_left_of_it_less_what_is_left_of_its_time() -> None:
    clock, planned = Clock(), await plan_of(scale=2)
    estimator = Estimator(clock=clock)
    own = estimator.estimate(*planned)
    with estimator.running(own, *planned) as run:
        run.reports = [report := StageReport(planned[0].stages[0])]
        assert run.behind() == pytest.approx(0.0)
        clock.now_s += own.total_s / 2
        assert run.behind() == pytest.approx(0.5)
        report.tiles_run = report.tiles_at_model = 1
        begun = 2 / len(planned[0].stages[0].to_run) * own.stages_s[StageName.UPSCALE] / own.own_s
        assert run.behind() == pytest.approx(0.5 - begun)
        clock.now_s += 100 * own.total_s
        assert run.behind() == pytest.approx(2.0 - begun), "no later than that"


async def test_a_model_that_never_ran_is_taken_to_be_slow() -> None:
    plan, request = await plan_of(scale=2)
    (stage,) = plan.stages
    assert stage.run_px == len(stage.to_run) * WINDOW_PX**2
    assert work_of(stage).units == len(stage.to_run)
    assert Estimator().estimate(plan, request).stages_s == {StageName.UPSCALE: len(stage.to_run) * UNMEASURED_S[0]}


async def test_what_was_measured_replaces_the_guess() -> None:
    planned, estimator = await plan_of(scale=2), Estimator()
    (stage,) = planned[0].stages
    for _ in range(20):
        estimator.learn(stage.spec.name, work_of(stage), 3.0)
    assert stages_s(estimator, planned) == pytest.approx(3.0, rel=0.05)


async def test_a_last_look_at_what_text_is_left_is_part_of_edits_that_remove_some() -> None:
    with_text, without = await plan_of(text_removal=TextRemoval.ALWAYS, scale=2), await plan_of(scale=2)
    estimator = Estimator()
    before_s = [estimator.estimate(*planned).own_s for planned in (with_text, without)]
    for _ in range(50):
        estimator.learn_look(LOOK_S[0] + 2.0)
    after_s = [estimator.estimate(*planned).own_s for planned in (with_text, without)]
    assert after_s[0] - before_s[0] == pytest.approx(2.0, rel=0.02)
    assert after_s[1] == before_s[1]


async def test_an_edit_that_took_longer_than_told_moves_the_next_estimate() -> None:
    clock, planned = Clock(), await plan_of(scale=2)
    estimator = Estimator(clock=clock)
    first = estimator.estimate(*planned)
    assert first.total_s == pytest.approx(first.own_s)
    assert first.error == 0.0
    with estimator.running(first, *planned) as run:
        run.machine_s = 2 * first.total_s
        clock.now_s += 2 * first.total_s
    second = estimator.estimate(*planned)
    assert 1.4 * first.total_s < second.total_s < 2 * first.total_s
    assert second.error == pytest.approx(0.5)


async def test_nothing_is_learnt_from_an_edit_that_says_nothing() -> None:
    clock, planned = Clock(), await plan_of(scale=2)
    estimator = Estimator(clock=clock)
    before = estimator.estimate(*planned)
    with estimator.running(before, *planned) as run:
        run.is_typical = False
        clock.now_s += 100.0
    failing = estimator.running(before, *planned)
    failing.__enter__()
    clock.now_s += 100.0
    error = ModelFault("any", "bad")
    assert not failing.__exit__(ModelFault, error, None)
    assert estimator.estimate(*planned) == before


async def test_what_an_edit_takes_beside_the_models_is_learnt_from_those_that_were_alone() -> None:
    clock, planned = Clock(), await plan_of()
    estimator = Estimator(clock=clock)
    assert estimator.estimate(*planned).legs[-1].seconds == pytest.approx(ROWS_S[0] + ROWS_S[1] * 0.08)
    for _ in range(30):
        with estimator.running(estimator.estimate(*planned), *planned) as run:
            run.machine_s = 1.0
            clock.now_s += 1.5
    assert estimator.estimate(*planned).legs[-1].seconds == pytest.approx(0.5, rel=0.05)


async def test_a_small_image_is_estimated_by_its_own_size() -> None:
    small, large = await plan_of(10, 10, scale=2), await plan_of(1000, 1000, scale=2)
    assert small[0].stages[0].run_px == 100
    assert stages_s(Estimator(), small) < stages_s(Estimator(), large)


async def test_an_edit_without_stages_costs_no_model_time() -> None:
    assert stages_s(Estimator(), await plan_of()) == 0.0


async def test_the_self_measurement_runs_every_tile_model_and_survives_those_that_fail() -> None:
    faults = [ModelFault("text_removal", "bad") for _ in range(4)]
    backend = FakeBackend(fake_models(), faults)
    catalogue = Catalogue(backend)
    await catalogue.refresh()
    estimator = Estimator()

    async def no_sleep(seconds: float) -> None:
        pass

    await measure(estimator, catalogue, Dispatcher(backend, sleep=no_sleep))
    ran = {"inpaint_classical", "identity", "upscale_conservative_x2", "upscale_creative_x2"}
    assert ran < set(backend.calls)
    assert "precheck" not in backend.calls
    assert set(estimator._costs) == {
        *ran,
        "upscale_conservative_x4",
        "upscale_creative_x4",
    }, "text removal failed and stays unmeasured"
    assert backend.running == 0


async def test_a_backend_that_goes_away_does_not_stop_the_start() -> None:
    backend = FakeBackend(fake_models())
    catalogue = Catalogue(backend)
    await catalogue.refresh()
    backend.faults.extend(ModelUnavailable("away", 1.0) for _ in range(10_000))

    async def no_sleep(seconds: float) -> None:
        pass

    await measure(Estimator(), catalogue, Dispatcher(backend, sleep=no_sleep))
    assert backend.running == 0
