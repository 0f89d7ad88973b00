"""Files that appear whole or not at all, whoever else writes them at the same time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conetheory.errors import InputError, one_line

PARTIAL = ".partial"  # how the name of what is being written ends


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; when all is written and on the disk it takes its place.

    Two that write the same file at once do not meet: the last one stays. Raises `InputError` where it can't
    be written, as on a full disk; what there was before is then still there.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # h5py has both
        reason = getattr(error, "strerror", None) or one_line(error)
        raise InputError(f"{path} can't be written: {reason}") from error
    finally:
        partial.unlink(missing_ok=True)
