"""Examples of the Saliency panel: pictures, feature vectors, or token numbers with their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparse_debug_widgets.core.checks import refuse, reject
from sparse_debug_widgets.core.forms import numbering
from sparse_debug_widgets.core.pixels import Box
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.sparse.features.reading import tokenized
from sparse_debug_widgets.widgets.kit import fields
from sparse_debug_widgets.widgets.kit.namespace import called, example_code
from sparse_debug_widgets.widgets.panels.saliency.sentences import Sentences
from sparse_debug_widgets.widgets.panels.saliency.work import Example
from sparse_debug_widgets.widgets.shared.gallery import Examples, Thumbs, check_result_in

_TOKENS = "input_ids"
_LABELS = ("labels", "label")
_PREVIEW = 160


class SaliencySource:
    """Examples to choose from.

    Args:
        data: Whatever :class:`Examples` takes, sentences with a tokenizer, or a mapping of keyword arguments
            of the model (a tokenizer's output): tensors with one row per example.
        class_names: One per class.
        normalize: How pictures were normalised, see :func:`~sparse_debug_widgets.core.pixels.normalization`.
        box: Range of their pixels, where a result says it.
        words: For token numbers: a list of all words, or a function from the numbers (T,) of one example to
            its words, such as ``tokenizer.convert_ids_to_tokens``.
        tokenizer: For sentences that do not carry one.
        model: The live model, where there is one: it may know the names of its classes.

    Raises:
        InputError: Data of no such form.
    """

    def __init__(
        self,
        data: Any,  # noqa: ANN401 (see above)
        class_names: Sequence[str] = (),
        words: Sequence[str] | Callable[[Any], Sequence[str]] | None = None,
        *,
        normalize: object = None,
        box: Box | None = None,
        tokenizer: object = None,
        model: object = None,
    ) -> None:
        self.data = data
        self._words = words
        self._extras: dict[str, Tensor] = {}
        self._main = ""
        labels = None
        self._sentences: Sentences | None = None
        if tokenizer is not None or isinstance(data, TextData):
            text = tokenized(model, data, tokenizer)
            self._sentences = Sentences(text, data)
            class_names = numbering(model, text, given=class_names or None)[0] or ()
            data, labels = self._sentences.batch()
            if isinstance(data, Mapping) and labels is not None:
                data = {**data, "labels": labels}
        if isinstance(data, Mapping):
            data, labels = self._split(data)
        pictures = data if labels is None else (data, labels)
        self._pictures = pictures
        self.examples = Examples(pictures, class_names=class_names, normalize=normalize, box=box, model=model)
        self.is_text = self._words is not None or (
            len(self.examples.shape) == 1 and not self.examples.input(0).is_floating_point()
        )

    def check_result(self, inputs: Any) -> None:  # noqa: ANN401 (an array)
        """Refuse a result of other examples than these.

        Raises:
            InputError: One of its inputs is not here.
        """
        check_result_in(inputs, self._pictures, "the Saliency panel")

    def _split(self, data: Mapping[str, Any]) -> tuple[Any, Any]:
        tensors = {str(k): torch.as_tensor(v) for k, v in data.items() if str(k) not in _LABELS}
        floating = [name for name, value in tensors.items() if value.is_floating_point()]
        if _TOKENS not in tensors and len(floating) != 1:
            must = f"hold {_TOKENS!r} or exactly one floating tensor"
            reject("data", "the Saliency panel", must, f"the keys {', '.join(tensors) or '(none)'}")
        self._main = _TOKENS if _TOKENS in tensors else floating[0]
        main = tensors.pop(self._main)
        self._extras = tensors
        labels = next((torch.as_tensor(data[name]) for name in _LABELS if name in data), None)
        return main, labels

    def x(self, row: int) -> Example:
        """Example ``row`` as a batch of one."""
        if self._sentences is not None:
            return self._sentences.inputs(row)
        main = self.examples.input(row)
        if not self._main:
            return main
        return {self._main: main, **{name: value[row : row + 1] for name, value in self._extras.items()}}

    def look(self, model: nn.Module, seconds: float) -> None:
        """Let the model look at more of the data; a model that wants keyword arguments is not asked."""
        if not self._main:
            self.examples.look(model, seconds=seconds)

    def words(self, ids: Any) -> list[str]:  # noqa: ANN401 (an array (T,))
        """The words of one example's token numbers."""
        numbers = [int(i) for i in np.asarray(ids)]
        if callable(self._words):
            found = list(self._words(numbers))
        elif self._words is not None:
            known = self._words
            found = [known[i] if 0 <= i < len(known) else f"#{i}" for i in numbers]
        elif self._sentences is not None:
            found = self._sentences.words(numbers)
        else:
            found = [f"#{i}" for i in numbers]
        if len(found) != len(numbers):
            refuse(
                f"words= must give one word for each token; it gave {len(found)} words for "
                f"{len(numbers)} tokens."
            )
        return fields.labels([str(word) for word in found], limit=100)

    def page(self, which: str, first: int, count: int) -> Thumbs:
        """One page of the gallery; text shows its beginning in place of a thumbnail."""
        page = self.examples.page(which, first, count)
        if not self.is_text:
            return page
        rows = [row | {"note": self._preview(row)} for row in page.value["rows"]]
        # Of a model that wants keyword arguments nobody asks predictions.
        done = {"seen": len(self.examples), "total": None, "complete": True} if self._main else {}
        return Thumbs({**page.value, **done, "rows": rows}, {})

    def _preview(self, row: Mapping[str, Any]) -> str:
        if self._sentences is not None:
            words = self._sentences.texts[row["row"]]
        else:
            words = " ".join(self.words(self.examples.input(row["row"])[0]))
        said = f" \u2192 {row['predictionName']}" if row["wrong"] else ""
        return fields.cut(f"{row['labelName']}{said}: {words}".lstrip(": "), _PREVIEW)

    def code(self, row: int) -> str:
        """The expression that gives example ``row`` as a batch of one."""
        if self._sentences is not None:
            code = self._sentences.code(row)
            return f"dict({code})" if self._main else code
        if isinstance(self.data, Mapping):
            name = called(self.data, "data")
            return f"{{k: v[{row}:{row + 1}] for k, v in {name}.items() if k not in {_LABELS}}}"
        return example_code(self.data, row, self.examples.shape)
