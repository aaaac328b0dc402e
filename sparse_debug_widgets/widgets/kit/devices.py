"""The devices that a fit can run on, and how much memory is free there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def devices() -> dict[str, dict[str, Any]]:
    """Name of each device -> what it is called and how many bytes are free (None if that cannot be told)."""
    found: dict[str, dict[str, Any]] = {"cpu": {"title": "CPU", "free": _free_memory()}}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, _ = torch.cuda.mem_get_info(index)
        found[f"cuda:{index}"] = {"title": torch.cuda.get_device_name(index), "free": int(free)}
    return found


def _free_memory() -> int | None:
    """Return what the system could give without swapping (Linux says so; elsewhere it is not known)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(available[0]) if available else None
