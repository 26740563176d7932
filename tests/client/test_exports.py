"""What the package shows: everything public is exported, and every name in `__all__` is there."""

import inspect

import retouch
from retouch import errors, events, options, plan


def test_every_exported_name_is_there_once_and_sorted() -> None:
    assert retouch.__all__ == sorted(set(retouch.__all__))
    for name in retouch.__all__:
        assert hasattr(retouch, name), name


def test_every_imported_public_name_is_exported() -> None:
    shown = {name for name, value in vars(retouch).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert shown == set(retouch.__all__)


def test_every_error_event_and_plan_value_is_exported() -> None:
    for module in (errors, events, plan):
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                assert name in retouch.__all__, name
    assert {"EditOptions", "OptionFields"} <= set(retouch.__all__)
    assert set(options.OptionFields.__annotations__) == {
        each.name for each in options.EditOptions.__dataclass_fields__.values()
    }


def test_every_error_stands_in_the_tree_at_the_top_of_the_module() -> None:
    assert errors.__doc__
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, errors.RetouchError) and value.__module__ == errors.__name__:
            assert name in errors.__doc__, name


def test_everything_public_has_a_docstring() -> None:
    for name in retouch.__all__:
        value = getattr(retouch, name)
        if inspect.isclass(value) and value.__module__.startswith("retouch"):
            assert value.__doc__, name
            for method, function in inspect.getmembers(value, inspect.isfunction):
                assert method.startswith("_") or function.__doc__, f"{name}.{method}"
