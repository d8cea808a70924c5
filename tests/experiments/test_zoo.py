"""The views of the zoo: switches in words, a model's page, the family tree, and what wrong flags get."""

import dataclasses
import itertools
import typing

import pytest

from arch_zoo.config import ModelConfig
from arch_zoo.registry import POSITIONS, ZOO
from arch_zoo.settings import field_types, override
from experiments.zoo.listing import DIFFERS, choose, spelled
from experiments.zoo.tree import _place, lanes, systems_by_lineage
from experiments.zoo.words import in_words
from tests.runs import ROOT, assert_one_line, many

PROGRAM = "experiments.zoo"
SPEED_ONLY = {"scan", "scan_unroll", "remat", "remat_keeps", "attention_kernel"}  # none changes what the model is


# --- in words ----------------------------------------------------------------------------------------------------

BASES = {"encoder_depth": {"architecture": "encoder_decoder"}, "share_stacks": {"architecture": "encoder_decoder"},
         "embedding_projection": {"embedding_dim": 32}, "sentence_classes": {"pooler": True}, "norm_bias": {}}
OTHERS = {"architecture": "encoder_only", "position": "rotary", "windows": (4,), "kv_heads": 2,
          "attention_kernel": "pallas"}


def another(field: dataclasses.Field, value: typing.Any) -> typing.Any:
    """Some other value that the field accepts."""
    if field.name in OTHERS:
        return OTHERS[field.name]
    kind = field_types(ModelConfig)[field.name]
    if typing.get_origin(kind) is typing.Literal:
        return next(choice for choice in typing.get_args(kind) if choice != value)
    if kind is bool:
        return not value
    return {float: 0.25}.get(kind, 64 if value != 64 else 128)


@pytest.mark.parametrize("field", dataclasses.fields(ModelConfig), ids=lambda field: field.name)
def test_every_switch_is_said(field):
    base = override(ModelConfig(), BASES.get(field.name, {}))
    changed = override(base, {field.name: another(field, getattr(base, field.name))})
    assert (in_words(changed) == in_words(base)) == (field.name in SPEED_ONLY)


@pytest.mark.parametrize("name", POSITIONS.names())
def test_every_position_scheme_is_said_with_its_options(name):
    plain = override(ModelConfig(), {"position": name})
    assert in_words(plain)["Positions"][0].isupper() and "=" not in in_words(plain)["Positions"]
    for field in dataclasses.fields(plain.position):
        if field.type is float and field.name not in ("fast", "slow", "share"):
            other = override(plain, {f"position.{field.name}": 7.0})
            assert f"{field.name}=7.0" in in_words(other)["Positions"]


def test_a_few_models_in_words():
    llama, bert, modern = (in_words(ZOO.get(name).model()) for name in ("llama2_70b", "bert_base", "modernbert_base"))
    assert llama["Attention"] == "8 key-value heads for 64 query heads of 128; no biases"
    assert llama["Norms"] == "RMSNorm before each branch, and once more at the end; epsilon 1e-05"
    assert bert["Norms"] == "LayerNorm behind each branch, on the sum; epsilon 1e-12"
    assert "2 kinds of token; normalised" in bert["Embeddings"]
    assert "everything, a window of 128, a window of 128, and so on" in modern["Attention"]
    assert "theta=160000.0, local_theta=10000.0" in modern["Positions"]


# --- the listing -------------------------------------------------------------------------------------------------

def test_lineages_are_chosen_by_any_spelling():
    everything = choose(None)
    assert next(iter(everything)) == "Transformer"
    assert sum(map(len, everything.values())) == len(ZOO.entries())
    assert list(choose("llama")) == list(choose("LLaMA")) == ["LLaMA"]
    assert list(choose("after_gpt_3")) == ["After GPT-3"]


@pytest.mark.parametrize(("count", "text"), [(4_433_468, "4.433M"), (124_439_808, "124.4M"), (6_738_415_616, "6.738B"),
                                             (540_356_474_880, "540.4B")])
def test_counts_are_spelled_with_four_digits(count, text):
    assert spelled(count) == text


# --- the tree ----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def nodes():
    return _place(systems_by_lineage(), 2017)[0]


def test_texts_and_lines_have_their_tracks_to_themselves(nodes):
    for a, b in itertools.combinations(nodes.values(), 2):
        assert a.y != b.y or a.right < b.left or b.right < a.left, (a.system.key, b.system.key)
    assert all(node.left <= node.x <= node.right for node in nodes.values())


def test_no_line_to_a_child_crosses_another_system(nodes):
    for node in nodes.values():
        parent = nodes.get(node.system.parent)
        for other in nodes.values():
            between = parent is not None and min(parent.y, node.y) < other.y < max(parent.y, node.y)
            if between and other.system.parent != parent.system.key:  # siblings' lines begin on it
                assert not other.left < parent.x < other.right, (node.system.key, other.system.key)


def test_lanes_keep_descendants_on_one_side():
    by_lineage = systems_by_lineage()
    order = lanes(by_lineage)
    assert sorted(order) == sorted(by_lineage)
    gpt = order.index("GPT")
    assert order.index("Transformer") == gpt - 1
    assert order[gpt + 1:] == ["EleutherAI", "After GPT-3", "PaLM", "LLaMA", "Falcon", "Gopher"]


def test_the_tree_in_the_documentation_is_the_one_that_is_drawn_now():
    """Fonts differ between machines, so what it says is compared, which matplotlib notes beside the outlines."""
    drawn = (ROOT / "docs/zoo_tree.svg").read_text()
    for system in {row.system for row in ZOO.entries()}:
        assert f"<!-- {system.title} -->" in drawn
        assert f"<!-- {system.change} -->" in drawn or system.parent is None


# --- the program -------------------------------------------------------------------------------------------------

REFUSED = {
    "unknown name": (["--name=bert_bse"], "unknown named model 'bert_bse'. Did you mean 'bert_base'"),
    "unknown lineage": (["--lineage=falcn"], ("no such lineage. Did you mean 'falcon'?", "Known: transformer, ")),
    "two views": (["--lineage=gpt", "--name=gpt1"], "--name, --lineage and --tree show different things"),
    "unknown format": (["--tree=tree.pdf"], "the file's name must end in .svg or .png"),
    "no folder": (["--tree=missing/tree.svg"], "no such folder: missing"),
    "stray argument": (["gpt2_small"], "unexpected argument 'gpt2_small'"),
}
SHOWN = {"a lineage": ["--lineage=gopher"], "a lineage in Markdown": ["--lineage=gopher", "--markdown"],
         "a model": ["--name=electra_small"], "the plain one": ["--name=transformer_base"]}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """{name: how the command ended}"""
    tree = tmp_path_factory.mktemp("tree") / "tree.png"
    commands = {name: arguments for name, (arguments, _) in REFUSED.items()} | SHOWN | {"a tree": [f"--tree={tree}"]}
    preload = ("arch_zoo.models", "arch_zoo.objectives", "rich.table", "matplotlib.figure")
    found = many([(PROGRAM, arguments) for arguments in commands.values()], preload)
    return dict(zip(commands, found, strict=True)) | {"tree": tree}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_line(ended, case):
    assert_one_line(ended[case], REFUSED[case][1])
    assert ended[case]["out"] == ""


@pytest.mark.parametrize("case", SHOWN)
def test_a_view_fits_a_hundred_columns(ended, case):
    """What it prints for a terminal; commands to copy are never broken, and Markdown is not for reading there."""
    assert (ended[case]["code"], ended[case]["err"]) == (0, "")
    lines = [line for line in ended[case]["out"].splitlines() if not line.startswith(("python -m", "hf ", "|", "*"))]
    assert lines and max(map(len, lines)) <= 100


def test_views_say_what_they_are_for(ended):
    lineage, markdown, model, plain = (ended[case]["out"] for case in list(SHOWN)[:4])
    assert lineage.index("gopher_44m") < lineage.index("gopher_280b") < lineage.index("chinchilla_70b")
    assert "43.66M     44M causal LM" in lineage
    assert "| `gopher_280b` | decoder | 279.7B | 280B |" in markdown
    assert "13,549,057 parameters, published as 14M" in model and "replaced token detection; here electra" in model
    assert "hf download google/electra-small-discriminator" in model
    assert f"63,082,496 parameters, published as 65M {DIFFERS}" in plain and "\nnothing" in plain
    assert "not released" in plain


def test_the_tree_is_written(ended):
    assert ended["a tree"]["out"].endswith(f"tree.png: {len({row.system for row in ZOO.entries()})} systems\n")
    assert ended["tree"].read_bytes().startswith(b"\x89PNG")
