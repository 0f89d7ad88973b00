"""What certifiers have found of many images, of which no more is in memory than of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from conetheory.measure.by_image import ByImage

LOCAL = ("deficit_upper", "diameter_upper", "gaussian_deficit_upper", "arriving")
WHOLE = ("tau_1_upper", "map_deficit_upper", "every_image_deficit_upper")


class KeptLayer:
    """Of a layer what its summary needs of a `LayerCertificate` of all images, which are not held."""

    def __init__(self, held: ByImage, layer: str, total: int) -> None:
        self._held, self._layer, self.total = held, layer, total

    @property
    def _drawn(self) -> list[int]:
        return [int(count) for count in self._held.each(f"drawn {self._layer}")]

    @property
    def images(self) -> int:
        return len(self._drawn)

    @property
    def drawn(self) -> int:
        return sum(self._drawn)

    def each(self, name: str) -> Iterator[np.ndarray]:
        return self._held.each(f"{name} {self._layer}")


class KeptCertificates:
    """What certifiers of single images have found, as `certificate` takes it, in memory of one image."""

    def __init__(self) -> None:
        self._held = ByImage()
        self._totals: dict[str, int] = {}
        self._reasons: dict[str, tuple[int, str]] = {}

    def add(self, number: int, found: Any) -> None:
        """A `CscCertifier` that has seen one image; number: of it in the study."""
        self._said({kind: (number, text) for kind, text in found.reasons.items()})
        for layer, one in found.certificates.items():
            self._totals[layer] = one.total
            self._held.add(f"drawn {layer}", number, one.drawn)
            for name in LOCAL:
                self._held.add(f"{name} {layer}", number, np.concatenate([np.empty(0), *one.each(name)]))
            for name in WHOLE:
                self._held.add(f"{name} {layer}", number, np.array(getattr(one, name), float))

    def _said(self, reasons: Mapping[str, tuple[int, str]]) -> None:
        """Of two images the later one says why."""
        for kind, (number, text) in reasons.items():
            if number >= self._reasons.get(kind, (-1, ""))[0]:
                self._reasons[kind] = number, text

    @property
    def certificates(self) -> dict[str, KeptLayer]:
        return {layer: KeptLayer(self._held, layer, total) for layer, total in self._totals.items()}

    @property
    def reasons(self) -> dict[str, str]:
        return {kind: text for kind, (_, text) in self._reasons.items()}

    def record(self) -> dict[str, Any]:
        """All of it, as `take` takes it up."""
        return {"values": self._held.record(), "totals": self._totals, "reasons": self._reasons}

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what was found of other images."""
        self._held.take(record["values"])
        self._totals |= record["totals"]
        self._said(record["reasons"])
