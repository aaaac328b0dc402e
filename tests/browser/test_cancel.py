"""A request that takes long in the kernel is cancelled from the page while the kernel is busy with it."""

import time

from playwright.sync_api import expect

from tests.browser.driver import Browser

SLOW = """
import time
import numpy as np, torch
import sparse_debug_widgets as sdw
rng = np.random.default_rng(0)
labels = np.arange(240) % 3
values = rng.normal(size=(240, 12)).astype(np.float32)
values[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(12, 3))
path = sdw.elastic_net_path(values, labels, n_lambdas=8, eps=0.1)
seen = []

class Slow(torch.utils.data.IterableDataset):
    def __iter__(self):
        for i in range(100_000):
            seen.append(i)
            time.sleep(0.01)
            yield values[i % 240], int(labels[i % 240])

data = torch.utils.data.DataLoader(Slow(), batch_size=4)
"""


def test_a_measurement_is_cancelled_while_the_kernel_is_busy_with_it(lab: Browser) -> None:
    notebook = lab.open(
        [SLOW, "panel = sdw.panel(path, model, data=data)\npanel", "print(len(seen), model[1])"]
    )
    notebook.run(0, timeout=120)
    panel = notebook.run(1).locator("section.sdw-path")
    panel.locator("button", has_text="Use this layer").click()
    cancel = panel.get_by_role("button", name="Cancel the request")
    expect(panel.locator(".sdw-outcome")).to_contain_text("examples", timeout=20_000)
    cancel.click()
    expect(panel.locator(".sdw-outcome")).to_contain_text("its own dense layer")
    assert panel.get_by_role("alert").count() == 0
    start = time.monotonic()
    counted, _, layer = notebook.text(2).partition(" ")
    assert time.monotonic() - start < 30
    assert int(counted) < 10_000
    assert layer.startswith("Linear")
