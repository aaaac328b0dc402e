"""What a panel sends: counted as the kernel would send it."""

import json

from sparse_debug_widgets.widgets.kit.base import Panel
from tests.widgets.front import request


def _bytes(value: object) -> int:
    """JSON text plus binary buffers, wherever they are nested."""
    buffers = 0

    def text(item: object) -> object:
        nonlocal buffers
        if isinstance(item, bytes | bytearray | memoryview):
            buffers += memoryview(item).nbytes
            return None
        if isinstance(item, dict):
            return {key: text(inner) for key, inner in item.items()}
        return [text(inner) for inner in item] if isinstance(item, list | tuple) else item

    return len(json.dumps(text(value)).encode()) + buffers


def first_paint_bytes(panel: Panel) -> int:
    """The whole state of the widget, its module and style sheet included."""
    return _bytes(panel.get_state())


def all_bytes(panel: Panel) -> int:
    """First paint and the replies for all classes but the first."""
    total = first_paint_bytes(panel)
    for c in range(1, len(panel.head["value"]["classes"])):
        reply, buffers = request(panel, "class_path", index=c)
        total += _bytes([reply, buffers])
    return total
