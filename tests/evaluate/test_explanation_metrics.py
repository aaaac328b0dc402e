"""All metrics of a result at once."""

import numpy as np
import pytest

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.result import Provenance
from sparse_debug_widgets.evaluate import explanation_metrics, f_cls, locality_from_points, orthogonality
from sparse_debug_widgets.interpret.xfeatures.xfeatures import XFeatures


def explained(k=5, n=2):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=k)
    return XFeatures(
        provenance=Provenance(method="x_features:srae"),
        images=rng.random((k, 1, 6, 6)).astype(np.float32),
        labels=np.zeros(k, np.int64),
        predictions=np.zeros(k, np.int64),
        class_index=0,
        class_names=("a", "b"),
        layer="fc",
        method="srae",
        activations=rng.random((k, n)).astype(np.float32),
        weights=rng.normal(size=n),
        bias=0.0,
        scores=scores,
        reconstructed=scores + 0.1,
        maps=rng.random((k, n, 6, 6)).astype(np.float32),
        baseline=rng.random((k, 6, 6)).astype(np.float32),
        mass=np.ones((k, n), np.float32),
        names=tuple(f"H{i + 1}" for i in range(n)),
        fidelity={},
    )


def test_the_table_has_all_metrics_with_their_directions():
    found = explained()
    logits = np.stack([found.scores, np.zeros(5)], 1)
    points = np.random.default_rng(1).uniform(0, 5, (5, 3, 2))
    table = explanation_metrics(found, logits=logits, points=points, boxes=[[0, 0, 5, 5]] * 5)
    names = ["F_reg", "F_cls", "O1", "O2", "locality", "locality of the 1-heatmap"]
    frame = table.to_frame()
    assert frame.metric.tolist() == names
    assert frame.better.tolist() == ["lower", "higher", "lower", "lower", "lower", "lower"]
    assert table["F_reg"].value == pytest.approx(0.1)
    assert table["F_cls"].value == f_cls(logits, 0, found.reconstructed).value
    assert table["O1"].value == orthogonality(found.maps)[0].value
    single = locality_from_points(found.baseline, points, [[0, 0, 5, 5]] * 5)
    assert table["locality of the 1-heatmap"].value == single.value
    masks = np.zeros((5, 2, 6, 6), bool)
    masks[:, 0, :3] = True
    assert explanation_metrics(found, masks=masks).to_frame().metric.tolist() == [
        "F_reg",
        "O1",
        "O2",
        "locality",
        "locality of the 1-heatmap",
    ]


def test_what_does_not_go_together():
    found = explained()
    points, masks = np.ones((5, 2, 2)), np.ones((5, 2, 6, 6))
    with pytest.raises(InputError, match="be given alone"):
        explanation_metrics(found, points=points, masks=masks)
    with pytest.raises(InputError, match="come with points"):
        explanation_metrics(found, boxes=[[0, 0, 5, 5]] * 5)
    with pytest.raises(InputError, match="This table has no metric 'F_cls'"):
        explanation_metrics(found)["F_cls"]
