"""LIME on sentences: passes, agreement with the lime package, and whether the planted word is found.

Demo `tickets`. The sentences are written from seeds of their own: neither the network, nor its recipe, nor
anything here was tuned on them. The table goes between the markers of `docs/benchmarks/interpret_text.md`.
"""

import sys
import time

import numpy as np
import torch
from lime.lime_text import LimeTextExplainer

from sparse_debug_widgets.data import Demo, load_demo
from sparse_debug_widgets.data.tickets import TicketsDataset
from sparse_debug_widgets.interpret import lime_text, word_clouds
from sparse_debug_widgets.interpret.lime.lime_text import random_state
from sparse_debug_widgets.sparse import (
    DeepFeatures,
    RegularizationPath,
    elastic_net_path,
    extract_features,
)
from tests.benchmarks._sections import put

SEEDS = (201, 202, 203, 204, 205)
SENTENCES, SAMPLES = 200, 300


def main() -> None:
    torch.set_num_threads(1)
    demo = load_demo("tickets")
    features = extract_features(demo.model, demo.train)
    path = elastic_net_path(features)
    rows = [planted(demo, path), *agreement(demo, features)]
    text = "\n".join(["| LIME on sentences (`poe bench interpret_text`) | |", "|---|---|", *rows])
    put("interpret_text", text)
    sys.stdout.write(f"{text}\n")


def planted(demo: Demo, path: RegularizationPath) -> str:
    """Rank of the planted word among the words of the flawed class's features, on unseen sentences."""
    weights = path.weights_at(path.select())[demo.truth.flaw_class]
    used = np.flatnonzero(weights)
    best, poor = [], []
    for seed in SEEDS:
        unseen = TicketsDataset("clean_test", SENTENCES, seed=seed)
        found = lime_text(demo.model, unseen, path, features=used, n_samples=SAMPLES, seed=seed)
        clouds = word_clouds(found, min_count=3)
        ranks = [
            [word for word, _ in clouds.cloud(int(j))].index(demo.truth.planted_word) + 1
            if demo.truth.planted_word in dict(clouds.cloud(int(j)))
            else clouds.top + 1
            for j in used
        ]
        best.append(min(ranks))
        poor.append(float(found.poor.mean()))
    return (
        f"| `{demo.truth.planted_word}` among the words that raise the {len(used)} features of "
        f"{demo.class_names[demo.truth.flaw_class]!r}, best rank, {SENTENCES} unseen sentences each from "
        f"seeds {SEEDS[0]} to {SEEDS[-1]}, {SAMPLES} samples "
        f"| {', '.join(map(str, best))} (wanted: at most 3); poor surrogates {np.mean(poor):.0%} |"
    )


def agreement(demo: Demo, features: DeepFeatures) -> list[str]:
    """Largest difference from the package, rows through the model, and time, over ten sentences."""
    sentences = TicketsDataset("clean_test", 10, seed=SEEDS[0]).sentences
    tokenizer, alive = demo.test.tokenizer, np.flatnonzero(features.alive)
    asked: list[int] = []

    def activations(texts: list[str]) -> np.ndarray:
        with torch.no_grad():
            raw = demo.model.features(tokenizer.tensor(texts)).double().numpy()
        return ((raw - features.mean) / features.scale)[:, alive]

    started = time.process_time()
    handle = demo.model.register_forward_hook(lambda _, args, __: asked.append(len(args[0])))
    ours = lime_text(demo.model, sentences, features, tokenizer=tokenizer, n_samples=1000)
    handle.remove()
    spent = time.process_time() - started
    worst, theirs = 0.0, 0.0
    for k, sentence in enumerate(sentences):
        started = time.process_time()
        explainer = LimeTextExplainer(feature_selection="none", random_state=random_state(0, sentence))
        labels = range(len(alive))
        answer = explainer.explain_instance(sentence, activations, labels=labels, num_samples=1000)
        theirs += time.process_time() - started
        for column in labels:
            weights = dict(answer.as_map()[column])
            expected = np.array([weights[word] for word in range(len(weights))])
            worst = max(worst, float(np.abs(ours.weights_of(k)[:, column] - expected).max()))
    share = sum(asked) / (1000 * len(sentences))
    return [
        f"| largest difference from the `lime` package's weights, {len(alive)} features x {len(sentences)} "
        f"sentences, same 1,000 samples | {worst:.1e} (wanted: 1e-6) |",
        f"| rows through the model for all {len(alive)} features, in units of `n_samples` "
        f"| {share:.2f} (wanted: at most 1.05) |",
        f"| processor time for all features, ours / `lime` given the same trick (all features in one call) "
        f"| {spent:.1f} / {theirs:.1f} s |",
    ]
