"""A panel in a plain page: the real Python panel on one side, its module in a real browser on the other."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

from sparse_debug_widgets.widgets.kit import assets
from sparse_debug_widgets.widgets.kit.base import Panel
from tests.widgets.front import listening, say

PAGE = """<!doctype html><html><head><meta charset="utf-8"><style>body {{ margin: 8px; }} {css}</style></head>
<body>{places}<script type="module">
const imported = (text) => import(URL.createObjectURL(new Blob([text], {{ type: 'text/javascript' }})));
const {{ PageModel }} = await imported({host});
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const revive = (item) => {{
  if (item === null || typeof item !== 'object') return item;
  if (typeof item.base64 === 'string') return bytes(item.base64);
  if (Array.isArray(item)) return item.map(revive);
  return Object.fromEntries(Object.entries(item).map(([k, v]) => [k, revive(v)]));
}};
class Bridge extends PageModel {{
  standalone = false;
  send(message) {{ window.toKernel(message).then(({{ heard, state }}) => {{
    this.receive(state);
    for (const [content, buffers] of heard) this.fire('msg:custom', content, buffers.map(bytes));
  }}); }}
  receive(state) {{
    for (const [name, value] of Object.entries(revive(state))) {{
      this.unsaved.delete(name);
      super.set(name, value);
    }}
  }}
  set(name, value) {{
    this.unsaved.add(name);
    super.set(name, value);
  }}
  save_changes() {{
    const state = Object.fromEntries([...this.unsaved].map((name) => [name, this.get(name)]));
    this.unsaved.clear();
    window.saveToKernel(state);
  }}
}}
const model = new Bridge(revive({state}), () => null);
model.unsaved = new Set();
const module = await imported({esm});
window.sdw = {{ model, views: [], inner: [] }};
// As anywidget's: what it finds are stand-ins that say which widget they are.
const widgets = {{
  async getWidget(reference) {{
    const render = async ({{ el, signal }}) => {{
      el.dataset.widget = reference;
      window.sdw.inner.push({{ reference, signal }});
    }};
    return {{ render }};
  }},
}};
for (const el of document.querySelectorAll('.view')) {{
  const life = new AbortController();
  const end = await module.default.render({{ model, el, signal: life.signal, host: widgets }});
  window.sdw.views.push({{ life, end }});
}}
</script></body></html>"""

# A panel says that it has been painted by data-ready; the Path panel by the position that it painted.
READY = """() => {
  const painted = document.querySelector('section.sdw')?.dataset ?? {};
  return window.sdw?.views.length && (painted.idx ?? painted.ready);
}"""


def _revivable(item: Any) -> Any:
    if isinstance(item, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(item).decode()}
    if isinstance(item, dict):
        return {key: _revivable(value) for key, value in item.items()}
    return [_revivable(value) for value in item] if isinstance(item, list | tuple) else item


class PanelPage:
    """One page with one or two views of a panel.

    Attributes:
        messages: What the views sent.
        saved: Trait values the views saved.
        errors: Errors of the page.
        deaf: While true the kernel hears nothing and answers nothing.
    """

    def __init__(
        self, chromium: Browser, panel: Panel, *, views: int = 1, width: int = 1100, **options: Any
    ) -> None:
        self.panel = panel
        self.messages: list[dict[str, Any]] = []
        self.saved: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.deaf = False
        self.page: Page = chromium.new_page(viewport={"width": width, "height": 1000}, **options)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.page.on("dialog", lambda dialog: (self.errors.append("a label ran as code"), dialog.dismiss()))
        self.page.expose_function("toKernel", self._hear)
        self.page.expose_function("saveToKernel", self._save)
        self.page.set_content(self._text(views))
        self.page.wait_for_function(READY)

    def _text(self, views: int) -> str:
        self._told = self._state()
        state = {name: _revivable(value) for name, value in self._told.items()}
        host = assets.joined("kit/host") + "\nexport { PageModel };"
        return PAGE.format(
            css=assets.css(self.panel.name),
            places="".join('<div class="view"></div>' for _ in range(views)),
            host=json.dumps(host).replace("<", "\\u003c"),
            state=json.dumps(state).replace("<", "\\u003c"),
            esm=json.dumps(assets.esm(self.panel.name)).replace("<", "\\u003c"),
        )

    def _console(self, message: ConsoleMessage) -> None:
        # Only the tests read canvases back, and often.
        if message.type in {"error", "warning"} and "willReadFrequently" not in message.text:
            self.errors.append(message.text)

    def _hear(self, message: dict[str, Any]) -> dict[str, Any]:
        self.messages.append(message)
        if self.deaf:
            return {"heard": [], "state": {}}
        with listening(self.panel) as heard:
            say(self.panel, message)
        answers = [[content, [base64.b64encode(b).decode() for b in buffers]] for content, buffers in heard]
        return {"heard": answers, "state": self._news()}

    def _save(self, state: dict[str, Any]) -> None:
        self.saved.append(state)
        if not self.deaf:
            self.panel.set_state(state)
            self._told |= {name: getattr(self.panel, name) for name in state}

    def _state(self) -> dict[str, Any]:
        """What the page has of the panel: its traits."""
        state = self.panel.get_state()
        return {name: value for name, value in state.items() if not name.startswith("_") and name != "layout"}

    def _news(self) -> dict[str, Any]:
        """Traits that have changed since the page was last told."""
        state = self._state()
        news = {name: value for name, value in state.items() if value != self._told.get(name)}
        self._told = state
        return {name: _revivable(value) for name, value in news.items()}

    def pump(self) -> None:
        """Tell the page what has changed without its asking, as a job does."""
        news = self._news()
        if news:
            self.page.evaluate("(state) => sdw.model.receive(state)", news)

    def until(self, reached: Callable[[], bool], seconds: float = 60.0) -> None:
        """Pump until something is reached."""
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, "it was not reached"
            self.pump()
            self.page.wait_for_timeout(20)
        self.pump()

    def requests(self, action: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m.get("action") == action]

    @property
    def root(self) -> Locator:
        return self.page.locator(f"section.sdw-{self.panel.name}").first

    def data(self, name: str) -> str:
        self.frames()
        return str(self.root.get_attribute(f"data-{name}"))

    def index(self) -> int:
        return int(self.data("idx"))

    def frames(self, n: int = 2) -> None:
        self.page.evaluate(
            "(n) => new Promise((d) => { const f = () => n-- ? requestAnimationFrame(f) : d(); f(); })", n
        )

    def rest(self) -> None:
        """Wait until the panel has come to rest: announcements made, state saved."""
        self.page.wait_for_timeout(450)
        self.frames()

    def canvas(self, chart: str, layer: str = "moving") -> Locator:
        return self.root.locator(f".sdw-{chart} canvas").nth(1 if layer == "moving" else 0)

    def ink(self, chart: str, layer: str = "moving") -> int:
        """Painted pixels."""
        return int(
            self.canvas(chart, layer).evaluate(
                "(c) => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
                " let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n++; return n; }"
            )
        )

    def line_at(self, chart: str) -> float:
        """Where the line that a person drags is painted: the fullest column, in CSS pixels."""
        return float(
            self.canvas(chart).evaluate(
                """(c) => {
            const { width, height } = c, d = c.getContext('2d').getImageData(0, 0, width, height).data;
            let best = -1, most = 0;
            for (let x = 0; x < width; x++) {
              let n = 0;
              for (let y = 0; y < height; y++) n += d[4 * (y * width + x) + 3];
              if (n > most) { most = n; best = x; } }
            return best * c.clientWidth / width; }"""
            )
        )

    def drag(self, chart: str, begin: float, end: float, *, y: float = 0.5, steps: int = 10) -> None:
        """Press at a share of the chart's width and let go at another."""
        box = self.canvas(chart).bounding_box()
        assert box is not None
        mouse, height = self.page.mouse, box["y"] + y * box["height"]
        mouse.move(box["x"] + begin * box["width"], height)
        mouse.down()
        mouse.move(box["x"] + end * box["width"], height, steps=steps)
        mouse.up()
        self.frames()

    def close(self) -> None:
        self.page.close()
