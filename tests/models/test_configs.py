"""What stands in the python models' configurations and beside them."""

import re
from types import ModuleType

import pytest

from tests.models.conftest import REPOSITORY

MODELS = {"precheck": "precheck", "text_detect": "text_detect", "text_removal": "text_removal"} | dict.fromkeys(
    ("inpaint_classical", "inpaint_patch", "inpaint_diffusion"), "inpaint"
)
KEYS = {"kind", "method", "window_px", "halo_px", "receptive_field_px", "multiple_px", "scale", "deterministic"} | {
    "takes_prompt"
}
MAY = {"blend_px"}


@pytest.mark.parametrize("model", MODELS)
def test_the_planner_finds_every_parameter(model: str) -> None:
    config = (REPOSITORY / model / "config.pbtxt").read_text()
    pattern = r'parameters \{ key: "retouch\.(\w+)" value \{ string_value: "([^"]*)" \} \}'
    parameters = dict(re.findall(pattern, config))
    assert set(parameters) - MAY == KEYS
    assert parameters["kind"] == MODELS[model]
    assert f'name: "{model}"' in config
    assert 'backend: "python"' in config
    assert int(parameters["window_px"]) > 2 * int(parameters["halo_px"])


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_card(model: str) -> None:
    card = (REPOSITORY / model / "README.md").read_text()
    for heading in ("## Inputs and outputs", "## Figures", "## Known failures", "## Licence"):
        assert heading in card


def test_a_file_that_several_models_have_is_one_file() -> None:
    """The others link to it: Triton gives models no shared folder, and assembling a repository follows links."""
    files = [path for model in MODELS for path in (REPOSITORY / model / "1").glob("*.py") if path.name != "model.py"]
    for path in files:
        same = {each.resolve() for each in files if each.name == path.name}
        assert len(same) == 1, same


def test_models_import_nothing_of_the_checkout(exemplar: ModuleType, removal: ModuleType) -> None:
    for model in MODELS:
        for path in (REPOSITORY / model / "1").glob("*.py"):
            assert "retouch_server" not in path.read_text(), path
