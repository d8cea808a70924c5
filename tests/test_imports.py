"""The house: rooms import only rooms below them, and the library starts light."""

import ast
import pathlib
import subprocess
import sys

import pytest

import arch_zoo

LIBRARY = pathlib.Path(arch_zoo.__file__).parent
# Later rooms may import earlier ones. `config` comes before what it configures: registries load the variants by name.
ORDER = ["errors", "files", "machine", "registry", "tensor_files", "field_types", "settings", "settings_view", "mesh",
         "config", "examples", "flops", "layers", "models", "zoo", "data", "objectives", "training", "analysis",
         "generation", "evaluation", "fine_tuning", "tasks", "interop"]
# Needed by some users only, or slow to import: never at the top of a module of the library.
OPTIONAL = {"torch", "transformers", "tokenizers", "tensorflow", "tensorflow_datasets", "grain", "tensorboardX",
            "sacrebleu", "lm_eval"}
# The definition of a TFDS dataset, and a model class of the lm-evaluation-harness: imported only where those are.
EXCEPTIONS = {"arch_zoo.data.tfds_python_docs": {"tensorflow_datasets"},
              "arch_zoo.interop.lm_eval_harness": {"lm_eval"}}


def imports(source: str) -> set[tuple[str, bool]]:
    """(imported module, whether at the top of the module); what only type checkers see is left out."""
    found = set()

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                package = "." * child.level + (child.module or "")
                found.add((package, top))
                if package == "arch_zoo":  # `from arch_zoo import layers`
                    found.update((f"arch_zoo.{alias.name}", top) for alias in child.names)
            visit(child, top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    visit(ast.parse(source), True)
    return found


def offences(module: str, source: str) -> list[str]:
    """What a module of the library imports and should not."""
    room, found = module.split(".")[1], []
    for name, top in sorted(imports(source)):
        root, _, rest = name.partition(".")
        if root == "arch_zoo" and rest and ORDER.index(rest.split(".")[0]) > ORDER.index(room):
            found.append(f"{module} imports {name}, which is above it")
        if root in ("experiments", "configs", "tests", "benchmarks") or name.startswith("."):
            found.append(f"{module} imports {name}")
        if root in OPTIONAL - EXCEPTIONS.get(module, set()) and top:
            found.append(f"{module} imports {name} when it is imported")
    return found


def modules() -> dict[str, str]:
    """Source by module name, of the whole library."""
    paths = {".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts): path for path in LIBRARY.rglob("*.py")}
    return {name.removesuffix(".__init__"): path.read_text() for name, path in paths.items() if name.count(".") > 0
            and name != "arch_zoo.__init__"}


def test_every_room_has_its_place():
    assert {name.split(".")[1] for name in modules()} <= set(ORDER)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_only_go_down(module):
    assert not offences(module, modules()[module])


@pytest.mark.parametrize(("module", "source"), [
    ("arch_zoo.layers.block", "from arch_zoo.models.heads import VocabularyHead"),
    ("arch_zoo.layers.block", "from arch_zoo import models"),
    ("arch_zoo.layers.block", "def f():\n    import arch_zoo.training.loop"),
    ("arch_zoo.config", "if True:\n    from arch_zoo.layers.block import Stack"),
    ("arch_zoo.evaluation.samples", "from experiments.cell import run"),
    ("arch_zoo.data.tfds_text", "import tensorflow_datasets as tfds"),
    ("arch_zoo.interop.huggingface", "class A:\n    import torch.nn"),
    ("arch_zoo.models.heads", "from .formulas import head_flops"),
])
def test_an_offender_is_caught(module, source):
    assert len(offences(module, source)) == 1


def test_what_is_allowed_passes():
    assert not offences("arch_zoo.models.heads", "from arch_zoo.layers.block import Stack\nimport jax")
    assert not offences("arch_zoo.interop.huggingface", "def f():\n    import torch")
    assert not offences("arch_zoo.data.prepare", "if TYPE_CHECKING:\n    from arch_zoo.training.loop import train")


def test_a_config_loads_without_the_numerical_libraries():
    """Programs print help and refuse bad flags before JAX is there, and set its flags before it is imported."""
    heavy = "jax flax optax orbax numpy sentencepiece"
    code = f"import sys, arch_zoo.config, arch_zoo.files; print([m for m in '{heavy}'.split() if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LIBRARY.parent)
    assert run.stdout.strip() == "[]"
