"""Whose a directory is: that of the config in it, also where the code has learnt new fields since."""

import pytest

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic
from arch_zoo.settings import override, to_dict
from arch_zoo.training.layout import CONFIG_FILE
from arch_zoo.training.workdir import check_config


def written(workdir, without: tuple[str, ...] = (), **more) -> None:
    """The default config as code would have written it that did not know some fields of the model, or knew others."""
    values = to_dict(RunConfig())
    model = {name: value for name, value in values["model"].items() if name not in without}
    write_json_atomic(workdir / CONFIG_FILE, values | {"model": model | more})


def test_fields_that_came_later_have_their_defaults(tmp_path):
    written(tmp_path, without=("remat_keeps", "attention_kernel"))
    check_config(tmp_path, RunConfig())
    with pytest.raises(UserError, match=r"config: model.remat_keeps \(nothing there, products now\); use another"):
        check_config(tmp_path, override(RunConfig(), {"model.remat_keeps": "products"}))


def test_a_field_that_is_no_more_is_named(tmp_path):
    written(tmp_path, forgotten=3)
    with pytest.raises(UserError, match=r"another config: model.forgotten \(3 there, None now\)"):
        check_config(tmp_path, RunConfig())
