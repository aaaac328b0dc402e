"""Make the README's picture: the tutorial's panel with the suspect silenced. `poe pictures` runs this."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from sparse_debug_widgets.cli.percent import to_notebook
from sparse_debug_widgets.cli.tutorial import tutorial_script
from tests.browser.driver import Browser
from tests.browser.server import jupyter_server
from tests.chromium import ARGUMENTS, browser_path

TARGET = Path(__file__).parents[2] / "notebooks" / "images" / "path_panel.png"


def main() -> int:
    cells = to_notebook(tutorial_script().read_text(encoding="utf-8"))
    code = [i for i, cell in enumerate(cells["cells"]) if cell["cell_type"] == "code"]
    (show,) = (i for i in code if cells["cells"][i]["source"].endswith("\npanel"))
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter_server(Path(folder) / "root", "lab", Path(folder) / "settings") as server,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        page = chromium.new_page(viewport={"width": 1240, "height": 1400})
        notebook = Browser(page, server).open_file(cells)
        for index in code[: code.index(show) + 1]:
            notebook.run(index, timeout=300)
        panel = notebook.out(show).locator("section.sdw-path[data-idx]")
        panel.locator(".sdw-row:visible").first.click()
        expect(panel.locator(".sdw-measured")).to_contain_text("\N{RIGHTWARDS ARROW}", timeout=120_000)
        page.mouse.move(0, 0)
        picture = Image.open(io.BytesIO(panel.screenshot()))
        chromium.close()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").quantize(64).save(TARGET, optimize=True)
    sys.stdout.write(
        f"{TARGET}: {picture.size[0]} x {picture.size[1]}, {TARGET.stat().st_size / 1e3:.0f} kB\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
