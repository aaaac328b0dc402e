"""axe-core over what is on the page: no violation, by name of the rule and place."""

from typing import Any

from playwright.sync_api import Frame, Page

from tests.front_end.typecheck import HERE, installed, npm_ci

AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"

RUN = """async (place) => {
  const where = place ? document.querySelector(place) : document;
  const found = await axe.run(where, { resultTypes: ['violations'] });
  const told = ({ html, any, all, none }) =>
    `    ${html.slice(0, 160)}\\n        ${[...any, ...all, ...none].map((c) => c.message).join('; ')}`;
  return found.violations.map(({ id, help, nodes }) =>
    [`${id}: ${help}`, ...nodes.slice(0, 4).map(told)].join('\\n'));
}"""


def violations(page: Page | Frame, place: str | None = None) -> list[str]:
    """What axe-core finds, one text for each rule.

    Args:
        page: Where to look.
        place: Selector of the element to look at; None for the whole page.
    """
    if not installed() and npm_ci() != 0:
        raise RuntimeError("axe-core could not be installed: npm must reach the npm registry")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[Any] = page.evaluate(RUN, place)
    return [str(text) for text in found]
