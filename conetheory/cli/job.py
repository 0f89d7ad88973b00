"""The main job as it is asked for: which command, with which options."""

from __future__ import annotations

from dataclasses import dataclass, field

from conetheory.cli.options import CertifyOptions, PlanOptions, SampleOptions, StudyOptions, TheoryOptions


@dataclass(frozen=True)
class Task:
    """A command of the main job, which of its parts it does, and a folder of its own under `out`."""

    name: str
    measures: bool = True
    predicts: bool = True
    certifies: bool = True
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A network and all options; those of parts that a command does not do are at their defaults."""

    model: str
    options: StudyOptions
    theories: TheoryOptions = field(default_factory=TheoryOptions)
    certified: CertifyOptions = field(default_factory=CertifyOptions)
    sample: SampleOptions = field(default_factory=SampleOptions)
    plan: PlanOptions = field(default_factory=PlanOptions)


COMPARE = Task("compare")
CSC = Task("csc", predicts=False, certifies=False)
PREDICT = Task("predict", measures=False, certifies=False)
CERTIFY = Task("certify", measures=False, predicts=False)
DEMO = Task("demo", folder="demo")
