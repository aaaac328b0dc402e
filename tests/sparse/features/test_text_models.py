"""Deep features of text models: of Hugging Face and of one's own, before the decision layer or pooled."""

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.text import TruncatedTextWarning
from sparse_debug_widgets.sparse import extract_features
from tests.contracts.untouched import disturb, untouched

SENTENCES = (
    "a fine film",
    "",
    "film",
    "🙂 film 👩‍👧",
    "שלום film مرحبا",
    "<script>alert(1)</script> <b>fine</b>",
    "not a fine film at all",
    "a",
)
LABELS = np.arange(len(SENTENCES)) % 2
UNK = "[UNK]"
WORDS = ("[PAD]", UNK, "[CLS]", "[SEP]", "a", "fine", "film", "not", "at", "all", "script", "b", "<", ">")


def bert_tokenizer(**options):
    words = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token=UNK))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if options.pop("special", True):
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    options = {"pad_token": "[PAD]", "unk_token": UNK, "model_max_length": 32} | options
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, **options)


def tiny(cls, config, **options):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 32, "num_labels": 2} | options
    return cls(config(**sizes)).eval()


def bert(cls=None, **options):
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    return tiny(cls or transformers.BertModel, transformers.BertConfig, **sizes, **options)


def gpt(cls=None, **options):
    sizes = {"n_embd": 12, "n_layer": 2, "n_head": 2, "n_positions": 32}
    return tiny(cls or transformers.GPT2Model, transformers.GPT2Config, **sizes, **options)


def one_by_one(model, tokenizer, take):
    """Features of each sentence run by itself, without any padding."""
    rows = []
    for sentence in SENTENCES:
        inputs = tokenizer([sentence], return_tensors="pt")
        inputs = {name: tensor.long() for name, tensor in inputs.items()}
        with torch.no_grad():
            rows.append(take(model(**inputs)))
    return torch.cat(rows).numpy()


@pytest.mark.parametrize(
    ("pooling", "take"),
    [
        ("pooled", lambda out: out.pooler_output),
        ("cls", lambda out: out.last_hidden_state[:, 0]),
        ("mean", lambda out: out.last_hidden_state.mean(1)),
        ("last", lambda out: out.last_hidden_state[:, -1]),
    ],
)
@pytest.mark.parametrize("side", ["right", "left"])
def test_an_encoder_pooled_in_batches_is_what_each_sentence_gives_by_itself(pooling, take, side) -> None:
    # Left padding shifts BERT's positions, so only right padding is compared for it.
    model, tokenizer = disturb(bert()), bert_tokenizer()
    with untouched(model):
        features = extract_features(
            model, (SENTENCES, LABELS), tokenizer=tokenizer, pooling=pooling, batch_size=5, validation=0.0
        )
    assert np.allclose(features.values, one_by_one(model.eval(), tokenizer, take), atol=1e-5)
    assert features.dense_weight is None
    assert features.provenance.params["pooling"] == pooling
    if side == "left":
        tokenizer.padding_side = "left"
        shifted = extract_features(
            model, (SENTENCES, LABELS), tokenizer=tokenizer, pooling=pooling, validation=0.0
        )
        assert np.isfinite(shifted.values).all()


def test_a_sequence_classifier_gives_the_inputs_of_its_decision_layer() -> None:
    model, tokenizer = bert(transformers.BertForSequenceClassification), bert_tokenizer()
    with untouched(model):
        features = extract_features(model, (SENTENCES, LABELS), tokenizer=tokenizer, validation=0.0)
    expected = one_by_one(model.bert, tokenizer, lambda out: out.pooler_output)
    assert features.layer == "classifier"
    assert np.allclose(features.values, expected, atol=1e-5)
    logits = features.values @ features.dense_weight.T + features.dense_bias
    assert np.allclose(logits, one_by_one(model, tokenizer, lambda out: out.logits), atol=1e-5)


def test_a_sequence_classifiers_encoder_can_be_pooled_instead() -> None:
    model, tokenizer = bert(transformers.BertForSequenceClassification), bert_tokenizer()
    features = extract_features(
        model, (SENTENCES, LABELS), tokenizer=tokenizer, pooling="mean", validation=0.0
    )
    expected = one_by_one(model.bert, tokenizer, lambda out: out.last_hidden_state.mean(1))
    assert features.layer == "bert"
    assert np.allclose(features.values, expected, atol=1e-5)
    assert "mean over the tokens" in features.note


def test_any_named_layer_can_be_pooled() -> None:
    model, tokenizer = bert(), bert_tokenizer()
    features = extract_features(
        model,
        (SENTENCES, LABELS),
        tokenizer=tokenizer,
        layer="encoder.layer.0",
        pooling="cls",
        validation=0.0,
    )
    model.config.output_hidden_states = True
    expected = one_by_one(model, tokenizer, lambda out: out.hidden_states[1][:, 0])
    assert np.allclose(features.values, expected, atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_tokenizer_without_a_padding_token_is_refused_and_the_advice_helps(side) -> None:
    model, tokenizer = (
        gpt(),
        bert_tokenizer(pad_token=None, special=False, eos_token=WORDS[3], padding_side=side),
    )
    data = (SENTENCES, LABELS)
    with pytest.raises(InputError, match=r"tokenizer\.pad_token = tokenizer\.eos_token"):
        extract_features(model, data, tokenizer=tokenizer, pooling="last", validation=0.0)
    tokenizer.pad_token = tokenizer.eos_token
    features = extract_features(model, data, tokenizer=tokenizer, pooling="last", validation=0.0)
    full = [sentence if tokenizer.tokenize(sentence) else "[SEP]" for sentence in SENTENCES]
    for row, sentence in enumerate(full):
        inputs = tokenizer([sentence], return_tensors="pt")
        if side == "left":
            continue  # positions are shifted by the padding
        with torch.no_grad():
            alone = model(input_ids=inputs["input_ids"]).last_hidden_state[0, -1]
        assert np.allclose(features.values[row], alone.numpy(), atol=1e-5)


def test_a_sequence_classifier_of_the_gpt_family() -> None:
    model = gpt(transformers.GPT2ForSequenceClassification)
    tokenizer = bert_tokenizer(special=False)
    model.config.pad_token_id = tokenizer.pad_token_id
    with pytest.raises(InputError, match="pooling="):
        extract_features(model, (SENTENCES, LABELS), tokenizer=tokenizer, validation=0.0)
    features = extract_features(
        model, (SENTENCES, LABELS), tokenizer=tokenizer, pooling="last", validation=0.0
    )
    assert features.layer == "transformer"


@pytest.mark.parametrize("limit", [32, int(1e30)])
def test_ten_thousand_words_are_cut_to_what_the_model_reads(limit) -> None:
    model, tokenizer = bert(), bert_tokenizer(model_max_length=limit)
    data = (["a film", "fine " * 10_000, "film", "a"], [0, 1, 0, 1])
    with pytest.warns(TruncatedTextWarning, match="Sentence 1 is longer than the"):
        features = extract_features(model, data, tokenizer=tokenizer, pooling="mean", validation=0.0)
    assert np.isfinite(features.values).all()


# -- models of one's own


class Own(nn.Module):
    """Mean of word vectors, a hidden layer, and an output of the wanted form."""

    def __init__(self, answer="tensor") -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6, padding_idx=0)
        self.hidden = nn.Linear(6, 5)
        self.fc = nn.Linear(5, 2)
        self.answer = answer

    def forward(self, ids):
        mask = (ids != 0).unsqueeze(2)
        tokens = self.embedding(ids)
        mean = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1)
        logits = self.fc(self.hidden(mean).tanh())
        forms = {"tensor": logits, "tuple": (logits, tokens), "dict": {"logits": logits, "tokens": tokens}}
        return {**forms, "words": {"scores": ["good"]}, "tokens": tokens}[self.answer]


def lengths(sentences):
    return [[len(word) % 19 + 1 for word in sentence.split()] for sentence in sentences]


def own(answer="tensor"):
    torch.manual_seed(0)
    return Own(answer).eval()


@pytest.mark.parametrize("answer", ["tensor", "tuple", "dict"])
def test_a_plain_model_may_answer_a_tensor_a_tuple_or_a_dict(answer) -> None:
    model = disturb(own(answer))
    with untouched(model):
        features = extract_features(
            model, (SENTENCES, LABELS), tokenizer=lengths, batch_size=3, validation=0.0
        )
    assert features.layer == "fc"
    alone = extract_features(model, (SENTENCES, LABELS), tokenizer=lengths, batch_size=1, validation=0.0)
    assert np.allclose(features.values, alone.values, atol=1e-6)


def test_a_dict_without_logits_is_refused() -> None:
    model = own("words")
    with untouched(model), pytest.raises(InputError, match="answer a tensor of logits"):
        extract_features(model, (SENTENCES, LABELS), tokenizer=lengths)


def test_a_plain_encoder_is_pooled_without_its_padding() -> None:
    model = own("tokens")
    features = extract_features(
        model, (SENTENCES, LABELS), tokenizer=lengths, pooling="mean", validation=0.0, batch_size=8
    )
    table = model.embedding.weight.detach()
    expected = torch.stack([table[ids].mean(0) if ids else table[0] for ids in lengths(SENTENCES)])
    assert np.allclose(features.values, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "pooling is not compatible with deep features: it must be one of 'pooled'"),
        ({"pooling": "mean", "layer": "hiden"}, "Did you mean 'hidden'"),
        ({"pooling": "mean", "layer": "hidden"}, "one vector for each token"),
        ({"pooling": "pooled"}, "one vector per example"),
        ({"tokenizer": None, "pooling": "mean"}, "is not compatible with batches"),
    ],
)
def test_what_cannot_be_pooled_is_refused_and_the_model_left_alone(options, message) -> None:
    model = own("tokens")
    with untouched(model), pytest.raises(InputError, match=message):
        extract_features(model, (SENTENCES, LABELS), **{"tokenizer": lengths, "validation": 0.0, **options})


def test_the_cache_tells_poolings_apart(tmp_path) -> None:
    model = own("tokens")
    options = {"tokenizer": lengths, "validation": 0.0, "cache": tmp_path}
    first = extract_features(model, (SENTENCES, LABELS), pooling="mean", **options)
    again = extract_features(model, (SENTENCES, LABELS), pooling="mean", **options)
    assert again.provenance.params["reused_rows"] == len(SENTENCES)
    with pytest.warns(UserWarning, match="layer"):
        other = extract_features(model, (SENTENCES, LABELS), pooling="last", **options)
    assert other.provenance.params["reused_rows"] == 0
    assert first.provenance.fingerprint != other.provenance.fingerprint


class _Attends(torch.nn.Module):
    """Attends to every token that is not masked, padding too: as an encoder does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.fc = torch.nn.Embedding(9, 4), torch.nn.Linear(4, 2)

    def forward(self, input_ids, attention_mask=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        kept = self.embed(input_ids) * mask.unsqueeze(-1)
        return self.fc(kept.sum(1) / mask.sum(1, keepdim=True))


def test_features_of_a_sentence_do_not_depend_on_its_neighbours():
    """A tokenizer of one's own answers ids alone: the mask that keeps padding out is made of them."""

    def own(sentences):
        return [[len(word) for word in sentence.split()] for sentence in sentences]

    texts, labels = ["a", "a bb ccc dddd", "bb a", "ccc"] * 4, [0, 1] * 8
    one_by_one = extract_features(_Attends(), (texts, labels), tokenizer=own, batch_size=1)
    together = extract_features(_Attends(), (texts, labels), tokenizer=own, batch_size=16)
    np.testing.assert_allclose(together.values, one_by_one.values, rtol=1e-5, atol=1e-6)
