"""Text models of one's own in panels: sentences with their tokenizer in every form, words as words."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets.panels.fit import code as fit_code
from tests.widgets.panels.saliency.small import ended

WORDS = ["awful", "plain", "great", "film", "book", "the"]
TEXTS = [f"the {WORDS[3 + k % 2]} {'great ' * (k % 3)}{WORDS[k % 3]}" for k in range(12)]
LABELS = [("neg", "neutral", "pos")[k % 3] for k in range(12)]


def tokens(sentences):
    """A tokenizer of one's own: no way back from numbers to words."""
    return [[1 + WORDS.index(word) for word in sentence.split()] for sentence in sentences]


class OfTransformers:
    """What is used of a Hugging Face tokenizer."""

    model_max_length, pad_token_id, padding_side = 16, 0, "right"

    def __call__(self, text, **_):
        ids = tokens([text] if isinstance(text, str) else text)
        return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}

    def convert_ids_to_tokens(self, ids):
        return [f"_{WORDS[i - 1]}" if i else "[PAD]" for i in ids]


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.fc = nn.Embedding(7, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, ids):
        mask = (ids != 0).unsqueeze(-1)
        return self.fc(torch.tanh(self.mix((self.embed(ids) * mask).sum(1) / mask.sum(1))))


class Masked(Own):
    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids * attention_mask)


def trained(kind):
    torch.manual_seed(0)
    model, y = kind(), torch.arange(12) % 3
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in tokens(TEXTS)], batch_first=True)
    call = (lambda: model(ids)) if kind is Own else (lambda: model(ids, (ids != 0).long()))
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(call(), y).backward()
        optimiser.step()
    return model.eval()


@pytest.fixture(scope="module", params=[Own, Masked])
def case(request):
    tokenizer = tokens if request.param is Own else OfTransformers()
    return trained(request.param), tokenizer


def saliency(model, data, **options):
    return sdw.saliency_panel(model, data, methods=("gradient",), fallback="none", **options)


@pytest.mark.parametrize("form", ["text data", "pair", "table", "dicts"])
def test_the_saliency_panel_shows_words(case, form):
    model, tokenizer = case
    dicts = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    forms = {
        "text data": (sdw.TextData(TEXTS, LABELS, tokenizer), {}),
        "pair": ((TEXTS, LABELS), {"tokenizer": tokenizer}),
        "table": (pd.DataFrame({"text": TEXTS, "label": LABELS}), {"tokenizer": tokenizer}),
        "dicts": (dicts, {"tokenizer": tokenizer}),
    }
    data, options = forms[form]
    panel = saliency(model, data, **options)
    panel.compute()
    ended(panel)
    rows = {row["row"]: row for row in panel.gallery["value"]["rows"]}
    assert TEXTS[0] in rows[0]["note"]
    assert rows[2]["labelName"] == "pos"
    shown = panel.maps["value"]["rows"][0]["words"]
    mark = "" if tokenizer is tokens else "_"
    assert shown == [mark + word for word in TEXTS[panel.example].split()]
    panel.close()


def test_the_code_of_the_panel_gives_the_same_map(case):
    model, tokenizer = case
    text = sdw.TextData(TEXTS, LABELS, tokenizer)
    for data, options in ((text, {}), ((TEXTS, LABELS), {"tokenizer": tokenizer})):
        panel = saliency(model, data, **options)
        panel.compute().result(timeout=60)
        code = panel._source.code(3)
        found = eval(code, {"sdw": sdw, "data": data, "text": text, "tokenizer": tokenizer, "tokens": tokens})  # noqa: S307
        expected = panel._source.x(3)
        if isinstance(expected, torch.Tensor):
            assert torch.equal(found, expected)
        else:
            assert all(torch.equal(found[name], value) for name, value in expected.items())
        panel.close()


def test_a_path_of_a_text_model_in_its_panels(case):
    model, tokenizer = case
    options = {"layer": "fc", "validation": 0.0}
    features = sdw.extract_features(model, (TEXTS, LABELS), tokenizer=tokenizer, **options)
    fit = sdw.fit_panel(
        model,
        (TEXTS, LABELS),
        tokenizer=tokenizer,
        layer="fc",
        checkpoints=False,
        n_lambdas=4,
        validation=0.0,
    )
    path = fit.start().result(timeout=60)
    cell = fit_code.cell(fit.typed, fit._source.names(), None)
    assert "layer='fc', tokenizer=tokenizer, validation=" in str(cell)
    fit.close()
    assert path.class_names == features.class_names == ("neg", "neutral", "pos")
    sdw.panel(path, model, data=sdw.TextData(TEXTS, LABELS, tokenizer)).close()
    panel = sdw.features_panel(path, model, data=(TEXTS, LABELS), features=features, tokenizer=tokenizer)
    panel.close()


def test_pixels_cannot_be_perturbed_in_sentences(case):
    model, tokenizer = case
    with pytest.raises(InputError, match=r"got sentences\. Words that matter: sdw\.saliency_panel"):
        sdw.perturb_panel(model, sdw.TextData(TEXTS, LABELS, tokenizer))
    with pytest.raises(InputError, match="Pass tokenizer="):
        saliency(model, (TEXTS, LABELS))


def test_words_of_a_result_alone_are_found_by_its_data(case):
    model, tokenizer = case
    data = sdw.TextData(TEXTS, LABELS, tokenizer)
    found = sdw.attribute(model, data.inputs([4]))
    panel = sdw.panel(found, model, data=data, fallback="none")
    shown = panel.maps["value"]["rows"][0]["words"]
    assert [word.removeprefix("_") for word in shown] == TEXTS[4].split()
    panel.close()
    assert isinstance(np.asarray(found.inputs), np.ndarray)
