"""What a result is labelled with: the processor and device as far as they can be known."""

import pytest

from arch_zoo.errors import UserError
from benchmarks import conditions, options


def test_a_processor_is_named_by_its_model_and_widest_vectors(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.10GHz\n"
                                      "flags\t\t: fpu avx avx2\n")
    assert conditions.processor(tmp_path / "cpuinfo") == "Intel Xeon CPU, avx2"
    assert conditions.processor(tmp_path / "missing")


def test_versions_of_what_is_compared_with_and_of_cuda_are_said(monkeypatch):
    monkeypatch.setattr(conditions.program, "command", lambda: "command")
    said = conditions.conditions("Some GPU", ("torch", "pytest", "no_such_library"))
    assert "Some GPU (" in said and "pytest " in said and "no_such_library" not in said
    assert conditions._of_gpu({"nvidia-cudnn-cu12": "9.1", "numpy": "2"}).startswith(", nvidia-cudnn-cu12 9.1")


def test_a_device_that_jax_does_not_have_is_one_line():
    with pytest.raises(UserError, match="JAX finds no device: .*no_such_platform"):
        conditions.device_elsewhere("no_such_platform")


@pytest.fixture
def flag():
    """`flag(name, value)`: as a benchmark has it."""
    return lambda name, value: type("Flag", (), {"name": name, "value": value})()


def test_lists_of_numbers_and_changes_are_read_in_one_way(flag):
    assert options.whole_numbers(flag("members", ["1", "2"])) == [1, 2]
    assert options.changes(flag("change", ["a.b=c=d"])) == {"a.b": "c=d"}
    for value in (["two"], ["0"], ["1", ""], []):
        with pytest.raises(UserError, match="--members=.*whole number"):
            options.whole_numbers(flag("members", value))
    for value in ("batch_size", "=2"):
        with pytest.raises(UserError, match=f"--change={value}: PATH=VALUE is wanted"):
            options.changes(flag("change", [value]))


def test_a_model_without_a_vocabulary_is_one_line():
    from arch_zoo.config import RunConfig

    with pytest.raises(UserError, match="model.vocab_size is not set"):
        options.vocab_size(RunConfig())
