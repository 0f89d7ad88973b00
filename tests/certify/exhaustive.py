"""The adversary on thousands of networks: `python -m tests.certify.exhaustive`; continues where it stopped.

The figures are kept in one JSON file, written after every part: networks, checks (a certificate of one
network, rule and location held against all that the adversary tried), violations, and by kind of certificate
how near the best attempt came (1 is the bound itself).
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch

from tests.certify.adversary import HARD, Tally, attacks

PART = 25  # networks
FIGURES = Path(__file__).parents[2] / "experiments" / "results" / "adversary.json"


def part(number: int) -> dict:
    """The figures of networks `PART * number` and on: `{kind: [held, violated, nearest]}`, what was
    violated."""
    torch.set_num_threads(1)
    kinds: dict[str, Tally] = {}
    rules: dict[str, int] = {}
    violations: list[str] = []
    for seed in range(PART * number, PART * (number + 1)):
        for found in attacks(seed):
            rules[found.rule] = rules.get(found.rule, 0) + 1
            violations += [f"network {seed}: {text}" for text in found.worst]
            for kind, tally in found.kinds.items():
                kinds.setdefault(kind, Tally()).join(tally)
    return {"kinds": {k: t.numbers() for k, t in kinds.items()}, "rules": rules, "violations": violations}


def joined(parts: dict[str, dict]) -> dict:
    """The figures of all parts together."""
    kinds: dict[str, Tally] = {}
    rules: dict[str, int] = {}
    for found in parts.values():
        for kind, numbers in found["kinds"].items():
            kinds.setdefault(kind, Tally()).join(Tally(*numbers))
        for rule, count in found["rules"].items():
            rules[rule] = rules.get(rule, 0) + count
    return {
        "networks": PART * len(parts),
        "checks": sum(t.held for t in kinds.values()),
        "violations": sum(t.violated for t in kinds.values()),
        "violated": [text for found in parts.values() for text in found["violations"]],
        "kinds": {
            k: {"checks": t.held, "violations": t.violated, "nearest": t.nearest}
            for k, t in sorted(kinds.items())
        },
        "networks_by_rule": dict(sorted(rules.items())),
    }


def run(path: Path, networks: int, minutes: float, workers: int) -> dict:
    """Go through networks until there are so many, or the time is up; the parts that are there are kept."""
    held = path.with_suffix(".parts.json")
    parts = json.loads(held.read_text()) if held.exists() else {}
    wanted = [n for n in range(-(-networks // PART)) if str(n) not in parts]
    end = time.monotonic() + 60 * minutes
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = iter(wanted)
        running = {pool.submit(part, n): n for _, n in zip(range(workers), waiting, strict=False)}
        while running:
            done = next(as_completed(running))
            parts[str(running.pop(done))] = done.result()
            held.write_text(json.dumps(parts))
            figures = joined(parts)
            path.write_text(json.dumps(figures, indent=1) + "\n")
            print(f"{figures['networks']} networks, {figures['checks']} checks", flush=True)
            following = next(waiting, None) if time.monotonic() < end else None
            if following is not None:
                running[pool.submit(part, following)] = following
    return joined(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=HARD + 2_000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=FIGURES)
    given = parser.parse_args()
    figures = run(given.out, given.networks, given.minutes, given.workers)
    print(json.dumps(figures["kinds"], indent=1))
    raise SystemExit(1 if figures["violations"] else 0)


if __name__ == "__main__":
    main()
