"""The units of a study: what each depends on, what is computed of it, and the folder that keeps them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from conetheory.errors import ConeTheoryError, InputError
from conetheory.networks import Images, Network
from conetheory.networks.streamed import StreamedImages
from conetheory.progress import Progress, silent
from conetheory.results.layout import provenance
from conetheory.results.writing import PARTIAL, whole
from conetheory.room import within
from conetheory.runs import store
from conetheory.runs.division import Parts, Unit, divided
from conetheory.runs.kinds import KINDS, found_of
from conetheory.runs.memory import images as images_of_a_unit
from conetheory.runs.memory import smaller
from conetheory.runs.method import record_of
from conetheory.runs.packing import DamagedError, checked, header_of, packed
from conetheory.runs.progress import note
from conetheory.runs.source import Source
from conetheory.saliency.pictures import BATCH
from conetheory.version import __version__

FOLDER, SUFFIX = "units", ".unit"
VERSIONS = ("torch", "numpy", "machine")  # that a unit tells of where it was made
LEFT_OUT = "left_out"  # in place of what was found of a method that can't be run
# of a study, in the words of a refusal; others go by their names
WORDS = {"weights_sha256": "the weights' sha256", "images_named": "the images", "block": "images a unit"}
WORDS |= {"threads": "threads a unit", "conetheory": "the version of conetheory"}


@dataclass(frozen=True, eq=False)
class Work:
    """A study as its units see it: all that each of them depends on.

    lenient: a unit of a method that can't be run says so, and is no error. source: where the network is from,
    which is sent to other processes in its place, so that each loads its weights once.
    """

    network: Network
    images: Images
    methods: Mapping[str, Mapping[str, Any]]
    settings: Any  # `Settings`, or those of one of `KINDS`
    parts: Parts
    command: str = "compare"
    lenient: bool = False
    source: Source | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if self.source is not None:
            state["network"] = None
            if isinstance(self.images, StreamedImages):
                state["images"] = self.images.entries
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["network"] is None:
            state["network"] = state["source"].load(state["settings"].device)
            if not isinstance(state["images"], Images):
                state["images"] = StreamedImages(state["images"], state["network"], note)
        self.__dict__.update(state)

    @property
    def block(self) -> int:
        """Images a unit; of those that go through the network together whole batches."""
        size = self.parts.size(len(self.images))
        if self.command not in KINDS and self.parts.block is None:
            size = images_of_a_unit(self.settings, self.network.graph, size)
        return size if self.command not in KINDS else -(-size // BATCH) * BATCH

    @cached_property
    def units(self) -> list[Unit]:
        return divided(list(self.methods), len(self.images), self.block)

    @property
    def names(self) -> Sequence[str]:
        """The images', each used once."""
        return self._names

    @cached_property
    def _names(self) -> list[str]:
        return store.distinct(self.images.names)

    @property
    def labels(self) -> Sequence[int]:
        """Of the images. Raises `InputError` where they have none."""
        if self.images.labels is None:
            raise InputError("the folders of the images don't name their classes; use --target predicted")
        return self.images.labels

    @cached_property
    def plans(self) -> dict[str, Any]:
        """Of the methods, as far as they are known in this process."""
        return {}

    @cached_property
    def threads(self) -> int:
        return self.parts.threads_of(len(self.units))

    @cached_property
    def study(self) -> dict[str, Any]:
        """What all units of the study agree on."""
        known = asdict(replace(self.settings, parameters={}))
        settings = {name: value for name, value in known.items() if name not in ("device", "parameters")}
        found = {
            **store.origin(self.command, self.network),
            "conetheory": __version__,
            "images": len(self.images),
            "images_named": store.names_sha256(self.images.names),
            "block": self.block,
            "threads": self.threads,
            "device": self.settings.device.partition(":")[0],
            **settings,
            "dtype": str(self.settings.dtype),
        }
        return json.loads(json.dumps(found))

    def key(self, unit: Unit) -> dict[str, Any]:
        """Everything that a unit depends on."""
        own = {
            **asdict(unit),
            "parameters": store.contents(self.methods[unit.method]),
            "images_sha256": self.images.sha256(unit.first, unit.stop),
        }
        return {"study": self.study, "unit": json.loads(json.dumps(own))}

    def header(self, unit: Unit, shard: str = "") -> dict[str, Any]:
        """The key, and what helps whoever joins the units: the methods of the study, the shard, versions."""
        versions = {name: str(value) for name, value in provenance().items() if name in VERSIONS}
        return {**self.key(unit), "methods": list(self.methods), "shard": shard, "versions": versions}

    def computed(self, unit: Unit, progress: Progress = silent, shard: str = "") -> bytes:
        """The bytes of a unit. Raises what keeps a method from being run, but for a lenient study."""
        try:
            with threads(self.threads):
                found = self.record(unit, progress)
        except ConeTheoryError as error:
            if not self.lenient:
                raise
            found = {LEFT_OUT: str(error)}
        return packed(self.header(unit, shard), found)

    def record(self, unit: Unit, progress: Progress = silent) -> dict[str, Any]:
        """What is found of a unit."""
        settings = replace(self.settings, parameters=dict(self.methods[unit.method]))
        part = range(unit.first, unit.stop)
        if self.command in KINDS:
            work = partial(found_of, self, unit.method, settings, part, progress)
            return within(work, lambda times: note(f"{unit.name}: {smaller(times)}"))
        return record_of(self.network, self.images, unit.method, settings, part, progress, self.plans)


class UnitFolder(Mapping[str, bytes]):
    """The units that a folder of results holds, by name; each is one file, written whole or not at all."""

    def __init__(self, out: Path) -> None:
        self.out, self.path = out, out / FOLDER

    def file(self, name: str) -> Path:
        return self.path / f"{name}{SUFFIX}"

    def __getitem__(self, name: str) -> bytes:
        try:
            return self.file(name).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(name) from error
        except OSError as error:
            raise InputError(f"{self.file(name)} can't be read: {error.strerror}") from error

    def __contains__(self, name: object) -> bool:
        return self.file(str(name)).is_file()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.path.glob(f"*{SUFFIX}")))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def put(self, name: str, content: bytes) -> Path:
        """Write a unit. Raises `InputError`."""
        with whole(self.file(name)) as partial:
            partial.write_bytes(content)
        return self.file(name)

    def header(self, name: str) -> dict[str, Any] | None:
        """Of a unit's file; None where it can't be told."""
        try:
            return header_of(self.file(name))
        except (DamagedError, OSError):
            return None

    def has(self, name: str, key: Mapping[str, Any]) -> bool:
        """Whether a unit is there, undamaged and of this key.

        One of another study is an `InputError`; one that is damaged, or of other images, is not there.
        """
        if name not in self:
            return False
        try:
            header = checked(self[name])
        except DamagedError:
            return False
        self.refuse(name, header, key["study"])
        return header["unit"] == key["unit"]

    def refuse_another(self, study: Mapping[str, Any]) -> None:
        """`InputError` where the first unit that is there is of another study."""
        for name in self:
            if (header := self.header(name)) is not None:
                self.refuse(name, header, study)
                return

    def refuse(self, name: str, header: Mapping[str, Any], study: Mapping[str, Any]) -> None:
        """`InputError` where a unit is of another study, with what differs."""
        if said := difference(header["study"], study):
            raise InputError(
                f"{self.file(name)} is of another study: {said}; give another folder with --out, or remove it"
            )

    def tidy(self) -> None:
        """Remove what interrupted processes had begun to write."""
        for path in self.path.glob(f".*{PARTIAL}"):
            path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _pools(modules: int) -> ThreadpoolController:
    """Those of the libraries that so many modules have brought: to find them takes 20 ms, for each unit."""
    return ThreadpoolController()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch and BLAS with so many threads; 0 leaves them as they are."""
    if count == 0:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with _pools(len(sys.modules)).limit(limits=count):
            yield
    finally:
        torch.set_num_threads(before)


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In which two studies differ first, `seed 1, not 0`; empty where they are the same."""
    for name in other:
        if one.get(name) != other[name]:
            found, wanted = (_said(each.get(name)) for each in (one, other))
            return f"{WORDS.get(name, name)} {found}, not {wanted}"
    return ""


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] if len(text) == 64 else text  # a hash
