"""What `test_children` runs as processes."""

from __future__ import annotations

import subprocess
import sys
import time

from mlops.children import limit_memory, peak_mb, read_order, tell


def main() -> int:
    order = read_order()
    match order["do"]:
        case "answer":
            print("a warning of it", file=sys.stderr)
            print("not yet")
            tell({"told": order["with"]})
        case "mumble":
            print("{half a")
        case "list":
            print("[1, 2]")
        case "fail":
            return 3
        case "shout":
            for _ in range(100_000):
                print("loud", file=sys.stderr)
            print("the end", file=sys.stderr)
            tell({"done": True})
        case "hang":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            time.sleep(60)
        case "take":
            limit_memory(order["limit_mb"])
            try:
                held = b"x" * (order["mb"] * 1_000_000)
            except MemoryError:
                tell({"error": "MemoryError"})
                return 1
            tell({"peak_mb": peak_mb(), "held": len(held)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
