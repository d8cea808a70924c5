"""What a study is, as a value."""

import dataclasses
from typing import Any, Literal

from arch_zoo.config import EvaluationConfig, RunConfig
from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean
from arch_zoo.settings import FieldError, Settings, override, setting
from arch_zoo.settings_view import flatten


@dataclasses.dataclass(frozen=True)
class Arm(Settings):
    """One column of the comparison: a name and what it changes in the base config."""

    name: str = setting("", "as it stands in tables")
    overrides: dict[str, Any] = setting(None, "dotted path: value")

    @property
    def slug(self) -> str:
        """The name as a directory."""
        return "_".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())


@dataclasses.dataclass(frozen=True)
class Claim(Settings):
    """What a paper says, or what one would expect, of two arms on one metric."""

    text: str = setting("", "the claim in words")
    source: str = setting("", "paper and table")
    numbers: str = setting("", "what the paper measured")
    verified: bool = setting(True, "the numbers were read in the paper, not remembered")
    metric: str = setting("", "key of a shared metric")
    better_arm: str = setting("", "slug of the arm that should be ahead")
    worse_arm: str = setting("", "slug of the other")
    expectation: Literal["holds", "reverses at this scale", "null"] = setting("holds", "what this scale should show, "
                                                                              "decided before running")
    band: float = setting(0.0, "for null: differences below this count as none", low=0)

    def check(self) -> None:
        if self.expectation == "null" and self.band == 0:
            raise FieldError("band", "an expectation of null needs a band above 0: the difference that counts as none")


@dataclasses.dataclass(frozen=True)
class StudyConfig(EvaluationConfig):
    """Arms, what varies between them, what must match, and (inherited) the metrics by which they are compared."""

    title: str = setting("", "title of the report")
    question: str = setting("", "the question it answers")
    base: RunConfig = setting(RunConfig, "the run that every arm starts from")
    arms: tuple[Arm, ...] = setting((), "the arms")
    varies: tuple[str, ...] = setting((), "paths in which arms may differ, with everything below them")
    reference: str = setting("", "slug of the arm that others are compared with; empty: the first")
    match: Literal["tokens", "flops", "params", "steps", "seconds"] = setting(
        "tokens", "what arms must have equal: solved by steps (tokens, flops, seconds) or by size (params)")
    match_params_by: Literal["width", "depth"] = setting("width", "the size that match=params solves")
    seeds: int = setting(3, "seeds 0, 1, …: arms are paired by them", low=1)
    claims: tuple[Claim, ...] = setting((), "what papers say about it")

    def check(self) -> None:
        slugs = [arm.slug for arm in self.arms]
        if len(set(slugs)) < len(slugs):
            raise FieldError("arms", f"two arms have the same name: {', '.join(sorted(slugs))}")
        for name in (self.reference, *(s for c in self.claims for s in (c.better_arm, c.worse_arm))):
            if name and name not in slugs:
                raise FieldError("arms", f"there is no arm {name!r}.{did_you_mean(name, slugs)} "
                                         f"Arms: {', '.join(slugs)}")
        if self.arms:
            refuse_undeclared(self.arm_configs(), self.varies)

    @property
    def evaluation(self) -> EvaluationConfig:
        """The fields that say how arms are measured."""
        return EvaluationConfig(**{field.name: getattr(self, field.name)
                                   for field in dataclasses.fields(EvaluationConfig)})

    @property
    def reference_arm(self) -> str:
        return self.reference or self.arms[0].slug

    def arm_configs(self) -> dict[str, RunConfig]:
        """{slug: config}, before anything is solved."""
        configs = {}
        for arm in self.arms:
            try:
                configs[arm.slug] = override(self.base, arm.overrides)
            except UserError as error:
                raise UserError(f"arm {arm.name!r}: {error}") from None
        return configs


def differing_fields(configs: dict[str, RunConfig]) -> dict[str, dict[str, Any]]:
    """{path: {slug: value}} for the fields in which the configs are not all equal."""
    flat = {slug: flatten(config) for slug, config in configs.items()}
    paths = dict.fromkeys(path for values in flat.values() for path in values)
    return {path: {slug: values.get(path) for slug, values in flat.items()} for path in paths
            if len({repr(values.get(path)) for values in flat.values()}) > 1}


def refuse_undeclared(configs: dict[str, RunConfig], varies: tuple[str, ...]) -> None:
    """UserError, naming the field, where arms differ in something that was not declared to vary."""
    for path, values in differing_fields(configs).items():
        if not any(path == declared or path.startswith(f"{declared}.") for declared in varies):
            shown = "; ".join(f"{slug}: {value}" for slug, value in values.items())
            raise UserError(f"arms differ in {path}, which the study does not declare to vary ({shown}); "
                            f"add {path!r} to varies, or make it equal")
