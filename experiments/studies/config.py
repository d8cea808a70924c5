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
    overrides: dict[str, Any] = setting(dict, "dotted path: value")
    evaluation: dict[str, Any] = setting(dict, "dotted path: value, in how this arm is measured")
    starts_from: str = setting("", "slug of the arm whose trained parameters this one begins with, seed by seed")
    preparation: bool = setting(False, "only prepares others: neither matched nor compared")

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
    expectation: Literal["holds", "reverses at this scale", "not informative at this scale", "null"] = setting(
        "holds", "what this scale should show, decided before running")
    band: float = setting(0.0, "for null: differences below this count as none", low=0)

    def check(self) -> None:
        if self.expectation == "null" and self.band == 0:
            raise FieldError("band", "an expectation of null needs a band above 0: the difference that counts as none")


@dataclasses.dataclass(frozen=True)
class PaperRow(Settings):
    """What a paper measured of one arm."""

    arm: str = setting("", "slug of the arm")
    values: dict[str, float] = setting(dict, "{column: value}")


@dataclasses.dataclass(frozen=True)
class PaperTable(Settings):
    """A table of a paper, to stand beside ours."""

    source: str = setting("", "paper, table, and what was trained on what")
    columns: tuple[str, ...] = setting((), "its columns")
    rows: tuple[PaperRow, ...] = setting((), "its rows, each of an arm of this study")
    baseline: str = setting("", "slug of the arm to which gaps are counted")
    better: dict[str, str] = setting(dict, "{column: higher or lower}; where it is not said: higher")
    beside: dict[str, str] = setting(dict, "{column: key of the metric of ours that stands beside it}")
    deviations: dict[str, float] = setting(dict, "{column: standard deviation of one run, as the paper has it}")
    verified: bool = setting(True, "the numbers were read in the paper, not remembered")
    note: str = setting("", "what else a reader must know")


@dataclasses.dataclass(frozen=True)
class Tuning(Settings):
    """Learning rates tried for each arm in short runs of seed 0; the one with the least held-out loss is taken.

    The loss is that of the arm's own objective: it is compared within the arm only.
    """

    rates: tuple[float, ...] = setting((), "learning rates to try; empty: arms keep the one they have", low=0)
    share: float = setting(0.25, "steps of a short run, as a share of the arm's", low=0.01, high=1)

    def steps_of(self, steps: int) -> int:
        """Those of a short run, of an arm with so many."""
        return max(1, round(self.share * steps))


@dataclasses.dataclass(frozen=True)
class StudyConfig(EvaluationConfig):
    """Arms, what varies between them, what must match, and (inherited) the metrics by which they are compared."""

    title: str = setting("", "title of the report")
    question: str = setting("", "the question it answers")
    base: RunConfig = setting(RunConfig, "the run that every arm starts from")
    arms: tuple[Arm, ...] = setting((), "the arms")
    varies: tuple[str, ...] = setting((), "paths in which arms may differ, with everything below them")
    reference: str = setting("", "slug of the arm that others are compared with; empty: the first")
    match: Literal["tokens", "flops", "params", "steps", "seconds", "none"] = setting(
        "tokens", "what arms must have equal: solved by steps (tokens, flops, seconds) or by size (params); none: arms "
                  "keep the steps and sizes that they name")
    match_params_by: Literal["width", "depth"] = setting("width", "the size that match=params solves")
    seeds: int = setting(3, "seeds 0, 1, …: arms are paired by them", low=1)
    count_preparation: bool = setting(True, "what must match is counted from the beginning, through all arms that an "
                                            "arm starts from; false: from where it starts itself")
    scale: str = setting("", "bench, gpu or paper, where a study is defined at several sizes")
    stand_in: str = setting("", "what stands in for data of the protocol that is absent; empty: nothing does")
    paper: PaperTable | None = setting(None, "the paper's numbers, printed beside ours")
    tuning: Tuning = setting(Tuning, "learning rates tuned for each arm")
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
            self._check_beginnings()
            configs = self.arm_configs()
            refuse_undeclared({slug: configs[slug] for slug in self.compared}, self.varies)
            refuse_undeclared({slug: self.evaluation_of(slug) for slug in self.compared}, self.varies, "evaluation.")
            self._check_losses(configs)
        if len(set(self.tuning.rates)) < len(self.tuning.rates):
            raise FieldError("tuning.rates", "the same learning rate twice")

    def _check_losses(self, configs: dict[str, RunConfig]) -> None:
        """Each is of one objective, and can be measured at every length before anything is trained for it."""
        names = [loss.name for loss in self.losses]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise FieldError("losses", f"{twice} twice: an objective has one loss")
        for slug in self.compared:
            for loss in self.losses:
                for length in self.loss_lengths if loss.name == configs[slug].objective.name else ():
                    try:
                        override(configs[slug], {"objective": loss, "data.length": length})
                    except UserError as error:
                        raise FieldError("loss_lengths",
                                         f"arm {slug} cannot be measured at {length}: {error}") from None

    def _check_beginnings(self) -> None:
        """Arms that start from others: known, without a circle, and none that only prepares is compared."""
        for arm in self.arms:
            self.line_of(arm.slug)
        preparing = {arm.slug for arm in self.arms if arm.preparation}
        if lost := preparing - {arm.starts_from for arm in self.arms}:
            raise FieldError("arms", f"{sorted(lost)[0]} only prepares, and no arm starts from it")
        for what, slugs in (("reference", {self.reference_arm}),
                            ("claims", {s for c in self.claims for s in (c.better_arm, c.worse_arm)})):
            if both := slugs & preparing:
                raise FieldError(what, f"arm {sorted(both)[0]} only prepares others and is not compared")

    def line_of(self, slug: str) -> list[str]:
        """The arms that come before this one, the first of all first: what it starts from, and what that starts from.
        """
        arms, line = {arm.slug: arm for arm in self.arms}, []
        while before := arms[slug].starts_from:
            if before not in arms:
                raise FieldError("arms", f"{slug} starts from {before!r}, which is no arm."
                                         f"{did_you_mean(before, arms)} Arms: {', '.join(arms)}")
            if before in line:
                raise FieldError("arms", f"{' starts from '.join([slug, *line[line.index(slug)::-1]])}: a circle"
                                 if slug in line else f"{before} starts from itself by way of {slug}")
            line.insert(0, before)
            slug = before
        return line

    @property
    def evaluation(self) -> EvaluationConfig:
        """The fields that say how arms are measured."""
        return EvaluationConfig(**{field.name: getattr(self, field.name)
                                   for field in dataclasses.fields(EvaluationConfig)})

    def evaluation_of(self, slug: str) -> EvaluationConfig:
        """How an arm is measured: one that only prepares is not."""
        arm = self.arm(slug)
        if arm.preparation:
            return EvaluationConfig(metrics=())
        try:
            return override(self.evaluation, arm.evaluation)
        except UserError as error:
            raise UserError(f"arm {arm.name!r}: evaluation: {error}") from None

    @property
    def cells_of_arm(self) -> int:
        """How many runs an arm has: one for each seed, and short ones of learning rates on trial."""
        return self.seeds + len(self.tuning.rates)

    @property
    def cells_of_arm_text(self) -> str:
        trials = len(self.tuning.rates)
        return f"({self.seeds} seeds + {trials} learning rates on trial)" if trials else f"{self.seeds} seeds"

    @property
    def reference_arm(self) -> str:
        return self.reference or next((arm.slug for arm in self.arms if not arm.preparation), self.arms[0].slug)

    def arm(self, slug: str) -> Arm:
        """The arm of a slug."""
        return next(arm for arm in self.arms if arm.slug == slug)

    @property
    def compared(self) -> list[str]:
        """Slugs of the arms that are matched and compared."""
        return [arm.slug for arm in self.arms if not arm.preparation]

    def arm_configs(self) -> dict[str, RunConfig]:
        """{slug: config}, before anything is solved."""
        configs = {}
        for arm in self.arms:
            try:
                configs[arm.slug] = override(self.base, arm.overrides)
            except UserError as error:
                raise UserError(f"arm {arm.name!r}: {error}") from None
        return configs


def differing_fields(configs: dict[str, Settings]) -> dict[str, dict[str, Any]]:
    """{path: {slug: value}} for the fields in which the configs are not all equal."""
    flat = {slug: flatten(config) for slug, config in configs.items()}
    paths = dict.fromkeys(path for values in flat.values() for path in values)
    return {path: {slug: values.get(path) for slug, values in flat.items()} for path in paths
            if len({repr(values.get(path)) for values in flat.values()}) > 1}


def refuse_undeclared(configs: dict[str, Settings], varies: tuple[str, ...], prefix: str = "") -> None:
    """UserError, naming the field, where arms differ in something that was not declared to vary.

    `prefix`: what stands before the paths of these settings in `varies`.
    """
    for path, values in differing_fields(configs).items():
        path = prefix + path
        if not any(path == declared or path.startswith(f"{declared}.") for declared in varies):
            shown = "; ".join(f"{slug}: {value}" for slug, value in values.items())
            raise UserError(f"arms differ in {path}, which the study does not declare to vary ({shown}); "
                            f"add {path!r} to varies, or make it equal")
