"""`--plan`: what a run would need, printed before anything runs."""

from arch_zoo.config import RunConfig
from arch_zoo.data.tokenizers.base import Vocabulary

_TOKENS = "tokens:"


def plan_text(config: RunConfig, members: int) -> str:
    """The plan of the run, or of so many that are trained as one program, as lines of text."""
    from arch_zoo.training.planning import make_plan

    vocabulary, said = vocabulary_of(config)
    return show(make_plan(config, vocabulary, members=members), said)


def vocabulary_of(config: RunConfig) -> tuple[Vocabulary, str]:
    """(the vocabulary, what is said of it): of a tokenizer that is there, else as large as the config asks for."""
    from arch_zoo.data.tokenizers import open_tokenizer
    from arch_zoo.data.tokenizers.base import nominal_vocabulary

    corpus, wanted = config.data.corpus, config.data.tokenizer
    there = corpus.removeprefix(_TOKENS) if corpus.startswith(_TOKENS) else wanted.model
    if there is None:
        said = f"a vocabulary of {wanted.vocab_size:,} to be made"
        return nominal_vocabulary(wanted.vocab_size, wanted.sentinels), said
    tokenizer = open_tokenizer(there)
    config.require(tokenizer)
    return tokenizer.vocabulary, f"the {tokenizer.vocabulary.size:,} ids of {there}"


def show(plan, vocabulary: str) -> str:
    """A `Plan` as text."""
    c, m = plan.config, plan.memory
    accumulated = f" in {c.accumulate} parts" if c.accumulate > 1 else ""
    mesh = f", mesh={plan.mesh}" if plan.mesh else ""
    together = [f"{plan.members} runs as one program: the batch_size is of each, all else is of the {plan.members} "
                f"together"] if plan.members > 1 else []
    of = "" if plan.devices == 1 else " of all devices, which share it" if plan.shared else " of each device"
    rows = [(f"parameters, {plan.parameters:,}", size(m.parameters)),
            (f"optimizer state, {c.optimizer.kind}", size(m.optimizer)), ("batch", size(m.batch)),
            ("activations and gradients, at their peak", size(m.within)),
            ("a step needs", size(m.step)), ("and while a checkpoint is written", size(m.run)),
            (f"there is, {plan.source}", size(plan.room))]
    return "\n".join([
        f"{c.objective.name} in {c.model.architecture.name}, {vocabulary}",
        f"batch_size={c.batch_size}{accumulated} × data.length={c.data.length}, {c.dtype}, "
        f"{plan.devices} × {plan.device}, {c.parallel}{mesh}", *together, "",
        f"memory{of}, by XLA's analysis of the compiled step", *_table(rows), "", _largest(plan), *_speed(plan), "",
        "Model FLOPs count what the model asks for: of a causal mask the half that is visible, nothing twice.",
        "Executed FLOPs count what the program computes: hidden keys and recomputation, too."])


def _largest(plan) -> str:
    if not plan.largest_batch:
        return (f"not even batch_size={plan.smallest_batch} fits: set model.remat=True, shorten data.length, or take a "
                f"smaller model")
    fits = "" if plan.fits else f"batch_size={plan.config.batch_size} does not fit; "
    more = "" if plan.is_largest else ", or more"
    steps = f", in steps of {plan.smallest_batch}" if plan.smallest_batch > 1 else ""
    return f"{fits}the largest batch_size that fits is {plan.largest_batch:,}{more}{steps} (compiled to see)"


def _speed(plan) -> list[str]:
    rows = [("model FLOPs of a step", f"{plan.model_flops / 1e9:,.2f} G"),
            ("executed FLOPs of a step", f"{plan.executed_flops / 1e9:,.2f} G"),
            ("the devices reach", f"{plan.peak / 1e12:,.2f} TFLOP/s"),
            ("compiling the step, or reading it from the cache", f"{plan.compile_seconds:.1f} s")]
    if plan.step_seconds is None:
        rows.append((f"tokens/s at most, if all of the peak were used ({plan.why_untimed})",
                     f"{plan.tokens_per_second:,.0f}"))
        return ["", *_table(rows)]
    rows += [("a step, measured on made-up text", f"{1000 * plan.step_seconds:,.1f} ms"),
             ("tokens/s, measured", f"{plan.tokens_per_second:,.0f}"),
             ("of the peak, model FLOPs (MFU)", f"{plan.model_flops / plan.step_seconds / plan.peak:.0%}"),
             ("of the peak, executed FLOPs", f"{plan.executed_flops / plan.step_seconds / plan.peak:.0%}")]
    return ["", *_table(rows)]


def _table(rows: list[tuple[str, str]]) -> list[str]:
    left, right = (max(len(row[i]) for row in rows) for i in (0, 1))
    return [f"  {name:<{left}}  {value:>{right}}" for name, value in rows]


def size(count: int) -> str:
    """Bytes as a person reads them: 4.1 MiB."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:,.1f} {unit}" if unit != "B" else f"{count} B"
