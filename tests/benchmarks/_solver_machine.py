"""The machine and the versions that a table was measured with, in a line."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine():
    """Processor, cores, memory."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = about.get("model name") or platform.processor() or platform.machine()
    # Virtual machines often hide the model's name, but not its number.
    if "cpu family" in about and "model" in about:
        name += f", family {about['cpu family']} model {about['model']}"
    parts = [name, f"{os.cpu_count()} cores"]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        parts.append(f"{size / 2**30:.0f} GB")
    return ", ".join(parts)


def glmnet_version():
    """Version of glmnet; None where there is none."""
    if shutil.which("Rscript") is None:
        return None
    command = ["Rscript", "-e", 'cat(as.character(packageVersion("glmnet")))']
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def versions(text):
    """Versions of torch, and of the peers whose names are in a table's text."""
    found = {"torch": version("torch")}
    if "glmnet" in text:
        found["glmnet"] = glmnet_version()
    for name in ("scikit-learn", "celer", "glm_saga"):
        if name in text:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = None
    return ", ".join(f"{name} {value}" for name, value in found.items() if value)
