"""The commands of the main job: `compare` and its parts, and the demo."""

from __future__ import annotations

from conetheory.cli.job import CERTIFY, COMPARE, CSC, DEMO, PREDICT, Job
from conetheory.cli.options import (
    CertifyOptions,
    Drawing,
    ImageOptions,
    Limit,
    Model,
    Output,
    Placement,
    PlanOptions,
    RuleOptions,
    SampleOptions,
    StudyOptions,
    TheoryOptions,
)


def compare(
    model: Model,
    /,
    *,
    theories: TheoryOptions = TheoryOptions(),
    certified: CertifyOptions = CertifyOptions(),
    sample: SampleOptions = SampleOptions(),
    plan: PlanOptions = PlanOptions(),
    options: StudyOptions = StudyOptions(),
) -> int:
    """Measure CSC, predict it, certify it, and lay the three over each other."""
    from conetheory.cli.compare import run_task

    groups = {"theories": theories, "certified": certified, "sample": sample, "plan": plan}
    job = Job(model=model, options=options, **groups)
    return run_task(COMPARE, job)


def csc(model: Model, /, *, options: StudyOptions = StudyOptions()) -> int:
    """Measure cosine similarity convergence (CSC)."""
    from conetheory.cli.compare import run_task

    return run_task(CSC, Job(model=model, options=options))


def predict(
    model: Model,
    /,
    *,
    theories: TheoryOptions = TheoryOptions(),
    sample: SampleOptions = SampleOptions(),
    plan: PlanOptions = PlanOptions(),
    options: StudyOptions = StudyOptions(),
) -> int:
    """Predict the CSC deficit without measuring it."""
    from conetheory.cli.compare import run_task

    return run_task(PREDICT, Job(model=model, options=options, theories=theories, sample=sample, plan=plan))


def certify(
    model: Model,
    /,
    *,
    certified: CertifyOptions = CertifyOptions(),
    sample: SampleOptions = SampleOptions(),
    options: StudyOptions = StudyOptions(),
) -> int:
    """Certify which cosine any two starts have at least."""
    from conetheory.cli.compare import run_task

    return run_task(CERTIFY, Job(model=model, options=options, certified=certified, sample=sample))


def demo(
    *,
    limit: Limit = 4,
    drawing: Drawing = Drawing(),
    sample: SampleOptions = SampleOptions(),
    placement: Placement = Placement(),
    output: Output = Output(),
) -> None:
    """The main job on the bundled network and photographs; downloads nothing."""
    from conetheory.cli.demo import METHODS, MODEL, run_demo

    options = StudyOptions(
        images=ImageOptions(limit=limit),
        methods=RuleOptions(method=METHODS),
        drawing=drawing,
        placement=placement,
        output=output,
    )
    run_demo(DEMO, Job(model=MODEL, options=options, sample=sample))
