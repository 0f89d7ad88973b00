"""Maps that are made from a chain's own as they are needed: their patterns, their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from conetheory.errors import InputError
from conetheory.rules.maps import LocalMap
from conetheory.rules.smallness import Binary


class Derived(Mapping[str, LocalMap]):
    """The `pattern` or `loss` of each map; nothing of it is kept. Raises InputError where a map has none."""

    def __init__(self, maps: Mapping[str, LocalMap], kind: str, method: str) -> None:
        self.maps, self.kind, self.method = maps, kind, method

    def __getitem__(self, name: str) -> LocalMap:
        try:
            found = getattr(self.maps[name], self.kind)()
        except (AttributeError, NotImplementedError) as error:  # it, or a map that it is made of, has none
            raise InputError(
                f"{self.method} does not say which of its numbers are zero, at {name!r}: {error}"
            ) from error
        return Binary(found) if self.kind == "pattern" else found

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)
