"""Puts the tutorials and the notebook extension into the wheel, the latter with its tutorial as a notebook.

Nothing is generated into the repository: the files are assembled in a folder that lives as long as the build.
The same happens in an editable install, which gets a copy of the extension.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "sparse-debug-widgets"
SOURCE = Path("sparse_debug_widgets", "widgets", "labextension")
CONVERTER = Path("sparse_debug_widgets", "cli", "percent.py")
TUTORIAL = Path("notebooks", "01_find_the_planted_flaw.py")


def assemble(root: Path, folder: Path, version: str) -> None:
    """Write the extension as JupyterLab expects it.

    Args:
        root: The repository.
        folder: Where the files go; it must not exist.
        version: Version of the package, and so of the extension.
    """
    shutil.copytree(root / SOURCE, folder, ignore=shutil.ignore_patterns("*.md"))
    description = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    text = json.dumps({**description, "version": version}, indent=2)
    (folder / "package.json").write_text(text + "\n", encoding="utf-8")
    _converter(root / CONVERTER).write_notebook(root / TUTORIAL, folder / "static" / f"{TUTORIAL.stem}.ipynb")


def _converter(path: Path) -> Any:  # noqa: ANN401 (a module)
    # By its path: the package itself cannot be imported while it is built.
    spec = importlib.util.spec_from_file_location("_percent", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class LabExtension(BuildHookInterface[Any]):
    """Hatchling's hook for the wheel, standard or editable."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Assemble the extension and name its place."""
        self._folder = Path(tempfile.mkdtemp(prefix="labextension-"))
        assemble(Path(self.root), self._folder / NAME, str(self.metadata.version))
        if version == "standard":  # an editable install finds them in the repository
            for script in sorted((Path(self.root) / TUTORIAL.parent).glob("[0-9]*.py")):
                build_data["force_include"][str(script)] = (
                    f"{CONVERTER.parent.as_posix()}/notebooks/{script.name}"
                )
        build_data["shared_data"][str(self._folder / NAME)] = f"share/jupyter/labextensions/{NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the assembled copy."""
        del version, build_data, artifact_path
        shutil.rmtree(self._folder, ignore_errors=True)
