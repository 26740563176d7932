"""The estimate follows what was measured."""

import pytest

from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.fake import FakeBackend
from retouch_server.pipeline.estimate import UNMEASURED_SECONDS_PER_PX, WEIGHT, Estimator, measure
from retouch_server.pipeline.findings import Findings
from retouch_server.pipeline.plan import Plan, make_plan
from retouch_server.pipeline.request import EditRequest, Options, StageName
from tests.support.models import WINDOW_PX, fake_models


async def plan_of(height: int = 200, width: int = 200, **options: object) -> Plan:
    catalogue = Catalogue(FakeBackend(fake_models()))
    await catalogue.refresh()
    return make_plan(EditRequest(height, width, 3, options=Options(**options)), Findings(), catalogue)  # type: ignore[arg-type]


def total(estimator: Estimator, plan: Plan) -> float:
    return sum(estimator.stages(plan).values())


def test_edits_that_run_already_take_their_share() -> None:
    now_s = 100.0
    estimator = Estimator(lambda: now_s)
    assert estimator.wait(10.0) == 0.0
    with estimator.running(4.0), estimator.running(60.0):
        assert estimator.wait(10.0) == 4.0 + 10.0  # the short one ends first, the long one shares to the end
        now_s = 103.0
        assert estimator.wait(10.0) == 1.0 + 10.0
        now_s = 200.0
        assert estimator.wait(10.0) == 0.0  # overdue: nothing is known of what is left
    assert estimator.wait(10.0) == 0.0


async def test_a_model_that_never_ran_is_taken_to_be_slow() -> None:
    plan = await plan_of(scale=2)
    (stage,) = plan.stages
    assert stage.run_px == len(stage.to_run) * WINDOW_PX**2
    assert Estimator().stages(plan) == {StageName.UPSCALE: stage.run_px * UNMEASURED_SECONDS_PER_PX}


async def test_the_first_measurement_counts_whole_and_later_ones_move_it() -> None:
    plan, estimator = await plan_of(scale=2), Estimator()
    (stage,) = plan.stages
    estimator.record(stage.spec.name, stage.run_px, 3.0)
    assert total(estimator, plan) == pytest.approx(3.0)
    estimator.record(stage.spec.name, stage.run_px, 13.0)
    assert total(estimator, plan) == pytest.approx(3.0 + WEIGHT * 10.0)


async def test_nothing_is_learnt_from_nothing() -> None:
    plan, estimator = await plan_of(scale=2), Estimator()
    before = total(estimator, plan)
    estimator.record(plan.stages[0].spec.name, 0, 3.0)
    estimator.record(plan.stages[0].spec.name, 100, 0.0)
    assert total(estimator, plan) == before


async def test_a_small_image_is_estimated_by_its_own_size() -> None:
    small, large = await plan_of(10, 10, scale=2), await plan_of(1000, 1000, scale=2)
    assert small.stages[0].run_px == 100
    assert total(Estimator(), small) < total(Estimator(), large)


async def test_an_edit_without_stages_costs_nothing() -> None:
    assert total(Estimator(), await plan_of()) == 0.0


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
    assert set(estimator._seconds_per_px) == {
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
