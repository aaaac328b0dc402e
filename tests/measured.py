"""Times that tests took, told to people at the end of a run, never asserted on; gathered from all workers."""

import pytest

KEY = pytest.StashKey[list[str]]()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> list[str]:
    """Sentences with times."""
    return request.config.stash.setdefault(KEY, [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    sent = getattr(session.config, "workeroutput", None)
    if sent is not None:
        sent["measured"] = session.config.stash.get(KEY, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """A worker has ended."""
    told = getattr(node, "workeroutput", {}).get("measured", [])
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    config.stash.setdefault(KEY, []).extend(told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for sentence in config.stash.get(KEY, []):
        terminalreporter.line(f"measured: {sentence}")
