"""The Features panel's kernel side: what is found, in which order; names, links, silence, pages."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

import sparse_debug_widgets as sdw
from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.notices import collected_notices
from sparse_debug_widgets.core.progress import Progress
from sparse_debug_widgets.core.text import TextData
from sparse_debug_widgets.widgets.kit.wire import from_message
from sparse_debug_widgets.widgets.shared.features import work as features_work
from sparse_debug_widgets.widgets.shared.features.source import FeatureSource
from sparse_debug_widgets.widgets.shared.features.work import FeatureFindings, Plan, Wanted, fill, pending
from tests.contracts.untouched import untouched
from tests.interpret.models import Pictures, pictures
from tests.widgets.front import eventually, request

SMALL = {"n_samples": 80, "n_steps": 4, "fallback": "none"}
NASTY = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script> good",
    "مرحبا جيد 🦓",
    "good good 👍🏽 fine",
    "",
    "bad",
)


def fitted(model, data, **options):
    with collected_notices():  # of features that are constant, as some of such small models are
        features = sdw.extract_features(model, data, validation=0, **options)
        return features, sdw.elastic_net_path(features, n_lambdas=6, validation=0)


@pytest.fixture(scope="module")
def seen():
    model, data = Pictures(), pictures(60)
    return model, data, *fitted(model, data)


def opened(path, model=None, **options):
    return sdw.features_panel(path, model, **{"index": 5, **SMALL, **options})


def done(panel, features=(0, 1, 2)):
    job = panel.interpret(features)
    if job is not None:
        job.result(60)
        eventually(lambda: panel.job["ended"])
    return panel


def answer(panel, action, **arguments):
    reply, buffers = request(panel, action, **arguments)
    assert reply["ok"], reply.get("error")
    return reply["value"], from_message(reply["arrays"], buffers)


# -- what is found -------------------------------------------------------------------------------------------


def test_prototypes_explanations_and_pictures_are_those_of_the_plain_calls(seen):
    model, data, features, path = seen
    panel = done(opened(path, model, data=data, features=features))
    plain = sdw.find_prototypes(features, data[0].numpy(), features=[0, 1, 2], k=5)
    value, arrays = answer(panel, "feature", feature=1)
    assert [item["row"] for item in value["top"]] == plain.top[1].tolist()
    np.testing.assert_allclose([item["activation"] for item in value["top"]], plain.top_activations[1])
    assert [item["label"] for item in value["top"]] == [row % 3 for row in plain.top[1]]
    assert arrays["counts"].sum() == 60
    row = value["top"][0]["row"]
    lime = sdw.lime_images(model, data[0][row : row + 1], path, features=[1], rows=[row], n_samples=80)
    assert value["top"][0]["r2"] == pytest.approx(float(lime.r2_left_out[0, 0]))
    assert [item["waits"] for item in value["top"]] == [True, True, False, False, False]
    # What was explained for another feature is an answer for this one too.
    explained = [item["row"] for item in value["top"] if "lime" in item]
    assert set(explained) == set(plain.top[1].tolist()) & set(panel._found.explained)
    assert [one["sign"] for one in value["visual"]] == [1, -1]
    # Examples, explanations and two pictures in one file, of fewer bytes than their pixels.
    assert len(value["tiles"]) == 5 + len(explained) + 2
    assert arrays["sheet"].nbytes < len(value["tiles"]) * 16 * 16 * 3


def test_what_is_on_the_screen_is_found_first_also_when_that_changes(seen):
    model, data, features, path = seen
    source, found, wanted = FeatureSource(path, data, features=features), FeatureFindings(), Wanted()
    plan, everything = Plan(k=3, explained=1, n_samples=70, n_steps=2), frozenset({"lime", "picture"})
    wanted.set([4], [0, 1, 2, 3], everything)
    order = []

    def progress(report: Progress) -> None:
        if report.piece is None:
            return
        order.append((report.piece, sorted(found.pictures)))
        if report.piece == "lime" and len(order) == 2:
            wanted.set([2], [0], everything)

    fill(model, source, found, wanted, plan, progress=progress)
    assert [piece for piece, _ in order[:2]] == ["prototypes", "lime"]
    assert int(found.prototypes.top[4, 0]) == next(iter(found.explained))
    first_pictures = next(made for piece, made in order if piece == "picture")
    # The person scrolled before any picture was made: 2 came first, 4 is wanted no more.
    assert first_pictures == [2]
    assert 4 not in found.pictures
    assert pending(source, found, wanted, plan) == []


def test_without_features_one_pass_takes_them_and_the_first_look_comes_early(seen):
    model, data, features, path = seen
    many = (data[0].repeat(20, 1, 1, 1), data[1].repeat(20))
    source, found, looks = FeatureSource(path, many), FeatureFindings(), []

    def progress(report: Progress) -> None:
        if report.piece == "prototypes":
            looks.append((found.prototypes.n, found.complete))

    with untouched(model):
        fill(model, source, found, Wanted(), Plan(), progress=progress)
    assert looks == [(512, False), (1200, True)]
    np.testing.assert_allclose(source.deep.values[:60], features.values, rtol=1e-4, atol=1e-6)
    assert source.standardized(7) == pytest.approx((features.values[7] - path.mean) / path.scale, rel=1e-3)


@pytest.mark.parametrize("form", ["tuple", "dict"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_channels_and_any_answer(form, channels):
    model, data = Pictures(channels, answer=form), pictures(30, channels, size=9)
    _, path = fitted(model, data)
    with untouched(model):
        panel = done(opened(path, model, data=data), [0])
    value, arrays = answer(panel, "feature", feature=0)
    assert len(value["visual"]) == 2
    assert arrays["sheet"].size
    assert panel.ready["troubles"] == {}


def test_vectors_and_arrays_have_rows_instead_of_pictures():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5)).astype(np.float32)
    X[:, 4] = 2.0
    y = (X[:, 0] > 0).astype(int)
    with pytest.warns(sdw.sparse.DeadFeaturesWarning):
        features = sdw.sparse.DeepFeatures.from_arrays(X, y, validation=0)
    path = sdw.elastic_net_path(features, n_lambdas=5, validation=0)
    panel = opened(path, data=features, index=4)
    done(panel)
    value, _ = answer(panel, "feature", feature=0)
    assert value["kind"] == "rows"
    assert value["top"][0]["row"] == int(X[:, 0].argmax())
    # A feature that never changes has no examples, and says so.
    value, _ = answer(panel, "feature", feature=4)
    assert value["constant"]
    assert value["top"] == []
    z, arrays = answer(panel, "example", row=3)
    assert z["label"] == y[3]
    np.testing.assert_allclose(arrays["z"], (X[3] - path.mean) / path.scale, rtol=1e-5)
    # Nothing at all: the panel shows weights, and nothing is asked of it.
    bare = opened(path, index=4)
    assert bare.interpret() is None
    assert answer(bare, "feature", feature=0)[0] == {"feature": 0, "kind": "rows", "revision": 0}
    assert request(bare, "example", row=0)[0]["error"]["type"] == "InputError"


def test_a_feature_that_never_fires_and_fewer_examples_than_wanted():
    model, data = Pictures(), pictures(4)
    with torch.no_grad():
        model.conv.weight[2], model.conv.bias[2] = 0.0, -1.0
    X, y = pictures(60)
    _, path = fitted(model, (X, y))
    panel = done(opened(path, model, data=data, k=10), [0, 2])
    assert len(answer(panel, "feature", feature=0)[0]["top"]) == 4
    dead, _ = answer(panel, "feature", feature=2)
    assert dead["constant"]
    assert "visual" not in dead


# -- text ----------------------------------------------------------------------------------------------------


class Words(nn.Module):
    """Mean of word vectors; token 0 is padding."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.words = nn.Embedding(64, 5)
            self.fc = nn.Linear(5, 2)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.words(input_ids).mean(1).relu())
        return logits


def tokens(sentences: Sequence[str]) -> list[list[int]]:
    return [[1 + sum(map(ord, word)) % 63 for word in sentence.split()] or [1] for sentence in sentences]


def test_sentences_stay_text_and_have_words():
    texts = [f"{one} {word}" for one in NASTY for word in ("good", "bad", "plain", "<b>fine</b>")]
    data = TextData(texts, [i % 2 for i in range(len(texts))], tokens)
    model = Words()
    features, path = fitted(model, data)
    panel = done(opened(path, model, data=data, features=features), [0])
    value, _ = answer(panel, "feature", feature=0)
    first = value["top"][0]
    assert first["text"] == texts[first["row"]]
    assert "".join(piece for piece, _ in first["pieces"]) == first["text"]
    explained = panel._found.explained
    assert value["cloud"]["sentences"] == len(explained) > 1
    # Algorithm 2, by hand: the mean weight over the sentences that have the word.
    word, mean, count, *_ = value["cloud"]["positive"][0]
    weights = [
        float(one.weights_of(0)[one.words_of(0).index(word), 0])
        for one in explained.values()
        if word in one.words
    ]
    assert (mean, count) == (pytest.approx(np.mean(weights)), len(weights))
    page = panel.html()
    assert "<script>alert" not in page
    assert "onerror=alert" not in re.sub(r"\\u003c.*?\\u003e", "", page)


def test_sentences_without_a_tokenizer_say_what_is_missing():
    data = TextData(["good one", "bad one", "good two", "bad two"] * 8, [0, 1] * 16, tokens)
    features, path = fitted(Words(), data)
    panel = done(opened(path, Words(), data=list(data.sentences), features=features), [0])
    assert "tokenizer" in panel.ready["troubles"]["lime"]
    shown = opened(path, Words(), data=list(data.sentences), features=features, tokenizer=tokens)
    assert done(shown, [0]).ready["troubles"] == {}


# -- the job -------------------------------------------------------------------------------------------------


def test_a_cancelled_job_keeps_what_it_found_and_goes_on_when_asked(seen, monkeypatch):
    model, data, features, path = seen
    panel = opened(path, model, data=data, features=features, seed=3)
    real, stopped = features_work._explain, []

    def stop_at_the_second(*args):
        if panel._found.explained and not stopped:
            eventually(lambda: panel._job is not None)  # the cell may not have got its job back yet
            stopped.append(panel.cancel())
        return real(*args)

    monkeypatch.setattr(features_work, "_explain", stop_at_the_second)
    with untouched(model):
        job = panel.interpret([0, 1])
        assert job.wait(60)
    assert job.state == "cancelled"
    kept = dict(panel._found.explained)
    assert len(kept) == 1
    # Scrolling does not begin it again; asking does, and nothing is computed twice.
    assert answer(panel, "need", visible=[0, 1])[0] == {"job": None}
    number = answer(panel, "need", visible=[0, 1], go=True)[0]["job"]
    assert number not in {None, job.id}
    panel._job.result(60)
    assert len(panel._found.explained) > 1
    assert all(panel._found.explained[row] is one for row, one in kept.items())
    # A second panel of the same path and model finds it all.
    again = opened(path, model, data=data, features=features, seed=3)
    assert again._found is panel._found
    assert again.interpret([0, 1]) is None


def test_the_cache_outlives_the_findings(seen, tmp_path):
    model, data, features, path = seen
    plan = Plan(k=2, explained=1, n_samples=70, n_steps=2, cache=tmp_path)
    source, wanted = FeatureSource(path, data, features=features), Wanted()
    wanted.set([0, 1], [], frozenset({"lime", "picture"}))
    first, second = FeatureFindings(), FeatureFindings()
    fill(model, source, first, wanted, plan, progress=lambda _: None)
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    fill(model, source, second, wanted, plan, progress=lambda _: None)
    handle.remove()
    np.testing.assert_array_equal(first.pictures[0].pictures, second.pictures[0].pictures)
    # Only the fingerprint of the layer is looked for: no samples, no steps.
    assert len(calls) <= len(first.explained)


def test_a_model_that_has_changed_is_not_interpreted_as_what_it_was(seen):
    _, data, _, _ = seen
    model = Pictures()
    features, path = fitted(model, data)
    panel = opened(path, model, data=data, features=features)
    with torch.no_grad():
        model.conv.bias.add_(1.0)
    assert panel.interpret([0]) is None
    assert any("parameters" in reason for reason in panel.stale["reasons"])


# -- silence, names, links -----------------------------------------------------------------------------------


def test_predictions_are_those_of_the_layers(seen):
    model, data, features, path = seen
    panel = opened(path, model, data=data, features=features)
    with untouched(model):
        value, _ = answer(panel, "predict", row=11, index=5, silenced=[[0, -1], [1, 2]])
    raw = torch.from_numpy(np.array(features.values[11:12]))
    layer = path.decision_layer(5)
    expected = {
        "own": model.fc(raw).detach(),
        "sparse": layer(raw),
        "silenced": layer.silence(0).silence(1, class_index=2)(raw),
    }
    for name, logits in expected.items():
        np.testing.assert_allclose(value[name]["scores"], logits.detach().numpy()[0], rtol=1e-3, atol=1e-4)
        assert value[name]["top"][0][0] == int(logits.argmax())
        assert value[name]["top"][0][2] == pytest.approx(float(logits.softmax(1).max()), rel=1e-3)
    assert answer(panel, "measure", index=5, silenced=[[0, -1]])[0]["n"] == 60


def test_linked_panels_share_position_class_silenced_features_and_names(seen):
    model, data, features, _ = seen
    path = sdw.elastic_net_path(features, n_lambdas=6, validation=0)
    follow = sdw.panel(path, model, data=features, fallback="none")
    panel = opened(path, model, data=data, features=features, follow=follow)
    follow.idx, follow.class_index = 2, 1
    assert (panel.idx, panel.class_index) == (2, 1)
    panel.idx, panel.silenced = 4, [[3, -1]]
    assert (follow.idx, follow.silenced) == (4, [[3, -1]])
    assert answer(panel, "rename", feature=3, name=" stripes ")[0] == {"name": "stripes"}
    assert path.feature_names[3] == "stripes"
    assert follow.names == panel.names == {"3": "stripes"}
    # A name that a cell gives is noticed with the next look.
    path.rename({1: "<b>dots</b>"})
    follow.check_stale()
    assert follow.names == {"1": "<b>dots</b>", "3": "stripes"}
    refused, _ = request(panel, "rename", feature=2, name="stripes")
    assert "already the name of feature 3" in refused["error"]["message"]
    with pytest.raises(InputError, match="of the same path"):
        opened(sdw.elastic_net_path(features, n_lambdas=3, validation=0), follow=follow)


def test_a_refreshed_path_is_followed_and_keeps_its_names(seen):
    _, data, _, _ = seen
    model = Pictures()
    _, path = fitted(model, data)
    path.rename({2: "edges"})
    follow = sdw.panel(path, model, data=data, fallback="none")
    panel = opened(path, model, data=data, follow=follow)
    with torch.no_grad():
        model.conv.bias.add_(0.5)
    follow.check_stale()
    follow.renew().result(60)
    eventually(lambda: follow.path is not path)
    assert panel.path is follow.path is not path
    assert panel.path.feature_names[2] == "edges"


# -- pages and code ------------------------------------------------------------------------------------------


def test_the_page_answers_what_it_shows(seen, tmp_path):
    model, data, features, path = seen
    panel = done(opened(path, model, data=data, features=features), None)
    export = panel.export()
    asked = {(action, tuple(arguments.values())) for action, arguments, *_ in export.replies}
    shown = export.state["ready"]["only"]
    assert {("class_path", (c,)) for c in range(3)} | {("feature", (j,)) for j in shown} <= asked
    assert {("example", (row,)) for row in export.state["ready"]["examples"]} <= asked
    assert panel.to_html(tmp_path / "page.html").stat().st_size < 400_000


def test_the_copied_code_runs(seen, notebook):
    model, data, features, path = seen
    notebook.model, notebook.data, notebook.features, notebook.path = seen
    panel = done(opened(path, model, data=data, features=features))
    panel.silenced = [[1, 0]]
    code = answer(panel, "copy", features=[0, 1])[0]["code"]
    names = dict(vars(notebook))
    exec(compile(code.replace("n_samples=1000", "n_samples=80"), "code", "exec"), names)  # noqa: S102
    assert names["layer"].weight[0, 1] == 0
    assert names["prototypes"].top.shape == (2, 5)
    assert names["pictures"].pictures.shape[:2] == (2, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k"),
        ({"n_samples": 1}, "n_samples"),
        ({"follow": "path"}, "only a panel of the same path"),
        ({"features": "short"}, "have the 6 features"),
        ({"data": "short"}, "60 of .* as data; got 9 as data"),
    ],
)
def test_what_does_not_belong_together_is_refused(seen, options, said):
    model, data, features, path = seen
    other = sdw.sparse.DeepFeatures.from_arrays(np.random.default_rng(0).normal(size=(9, 2)), [0, 1, 1] * 3)
    options = {"data": data, "features": features, **options}
    if options["features"] == "short":
        options["features"] = other
    if options["data"] == "short":
        options["data"] = pictures(9)
    with pytest.raises(InputError, match=said):
        opened(path, model, **options)


def test_series_are_shown_as_curves_and_neither_explained_nor_imagined():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 6, 5), nn.ReLU(), nn.AvgPool1d(60), nn.Flatten(), nn.Linear(6, 3))
    data = torch.randn(40, 2, 64), torch.arange(40) % 3
    features, path = fitted(model, data)
    panel = done(opened(path, model, data=data, features=features))
    assert panel.head["value"]["kind"] == "series"
    value, arrays = answer(panel, "feature", feature=1)
    assert value["kind"] == "pictures"
    assert len(value["tiles"]) == 5
    assert arrays["sheet"].size
    assert not panel.ready["troubles"]
    assert not panel._found.explained
    example, _ = answer(panel, "example", row=value["top"][0]["row"])
    assert example["kind"] == "pictures"
    # Parts of pictures are no parts of series.
    with pytest.raises(InputError, match=r"series of shape \(2, 64\)"):
        sdw.lime_images(model, data[0][:3], features)
    assert sdw.find_prototypes(features, data, features=[1]).pictures is None


def test_one_feature_is_not_called_features(seen):
    _, data, features, path = seen
    source, found, wanted = FeatureSource(path, data, features=features), FeatureFindings(), Wanted()
    features_work.prototypes_now(source, found, Plan())
    wanted.set([2], [], frozenset({"picture"}))
    assert [step.note for step in pending(source, found, wanted, Plan())] == ["visualisation of feature 2"]
    wanted.set([1, 2], [], frozenset({"picture"}))
    assert [step.note for step in pending(source, found, wanted, Plan())] == ["visualisation of 2 features"]


def test_thai_is_shown_as_it_is_explained():
    sentences = ["หนังดีมาก", "หนังแย่", "ดีมาก", "แย่มาก"] * 6
    data = TextData(
        sentences, [i % 2 for i in range(24)], lambda some: [[1 + ord(c) % 63 for c in s] for s in some]
    )
    model = Words()
    features, path = fitted(model, data)
    panel = done(opened(path, model, data=data, features=features))
    value, _ = answer(panel, "feature", feature=0)
    for item in value["top"]:
        assert "".join(piece for piece, _ in item["pieces"]) == item["text"]
        assert any(weight is not None for _, weight in item["pieces"])


def test_a_class_to_begin_with_may_be_named(seen):
    *_, path = seen
    for open_panel in (sdw.features_panel, sdw.panel):
        shown = open_panel(path, class_index=path.class_names[2], fallback="none")
        assert shown.class_index == 2
        with pytest.raises(InputError, match="Did you mean 'class 1'"):
            open_panel(path, class_index="clas 1", fallback="none")
