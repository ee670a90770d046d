"""Write constraints.txt, and pyproject.toml's copy of it for `uv run`, from a resolved requirements file.

    python scripts/pins.py build-constraints.txt

CUDA packages are left out: which of them torch wants depends on the build of torch that is found, and
a constraint on torch alone lets a local CPU build satisfy it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_CUDA = re.compile(r"(nvidia-(?!ml-py)|cuda-|triton(?!client)|torch==)")
_FOREIGN = re.compile(r"(sys_platform == 'win32'|'emscripten')")
_COPY = re.compile(
    r"(?<=# constraints.txt, for uv: written by scripts/pins.py\n).*?(?=# end of constraints\n)", re.S
)


def pins(resolved: str) -> list[str]:
    """The lines to keep: names, versions and markers, never an address."""
    lines = [line.strip() for line in resolved.splitlines() if re.match(r"[a-zA-Z0-9]", line)]
    torch = next(line for line in lines if line.startswith("torch=="))
    version = re.match(r"torch==([0-9.]+)", torch)
    assert version is not None, torch  # noqa: S101
    kept = [line for line in lines if not _CUDA.match(line) and not _FOREIGN.search(line.partition(";")[2])]
    return sorted([*kept, f"torch=={version[1]}"])


def copy_into(pyproject: str, lines: list[str]) -> str:
    """pyproject.toml with its list of constraints replaced."""
    entries = "".join(f'  "{line}",\n' for line in lines)
    return _COPY.sub(lambda _: f"constraint-dependencies = [\n{entries}]\n", pyproject)


def main(source: Path) -> None:
    """Rewrite both files."""
    lines = pins(source.read_text())
    (ROOT / "constraints.txt").write_text("\n".join(lines) + "\n")
    pyproject = ROOT / "pyproject.toml"
    pyproject.write_text(copy_into(pyproject.read_text(), lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
