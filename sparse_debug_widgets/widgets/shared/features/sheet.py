"""Features and examples as the page draws them: pictures in one small image file, words with weights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from sparse_debug_widgets.core.pixels import box_from
from sparse_debug_widgets.interpret import ImageExplanations, Prototypes, TextExplanations, word_clouds
from sparse_debug_widgets.interpret.deep.examples import rgb_bytes
from sparse_debug_widgets.interpret.lime.words import pieces_of
from sparse_debug_widgets.widgets.kit import fields, wire
from sparse_debug_widgets.widgets.shared.features.source import PICTURES, TEXT, FeatureSource
from sparse_debug_widgets.widgets.shared.features.work import FeatureFindings, Plan, examples_of

Bytes = npt.NDArray[np.uint8]
SIDE = 96
"""Longest side of a picture on the page, in pixels."""

_SHARP = 48
_THUMBNAILS = 1000
_SENTENCE, _PIECES, _CLOUD = 400, 160, 30


def feature_answer(
    source: FeatureSource, found: FeatureFindings, feature: int, plan: Plan, *, least: bool = False
) -> tuple[dict[str, Any], dict[str, wire.Array]]:
    """All that is known of one feature.

    Args:
        source: Examples and deep features.
        found: What has been found.
        feature: Its number.
        plan: Settings.
        least: Also the examples that activate it least.

    Returns:
        JSON, and the arrays ``counts`` and ``edges`` (the histogram) and ``sheet``, an image file with all
        pictures side by side: most activating, least activating, explained, visualised.
    """
    prototypes = found.prototypes
    value: dict[str, Any] = {"feature": feature, "revision": found.revision(feature)}
    value["kind"] = PICTURES if source.pictured else source.kind
    if prototypes is None:
        return value, {}
    j = prototypes.place(feature)
    value |= {
        "n": prototypes.n,
        "complete": found.complete,
        "constant": bool(prototypes.constant[j]),
        "atMinimum": int(prototypes.at_minimum[j]),
        "top": _prototypes(source, prototypes, j, "top"),
        "bottom": _prototypes(source, prototypes, j, "bottom") if least else [],
    }
    counts, edges = _trimmed(prototypes, j)
    arrays: dict[str, wire.Array] = {"counts": counts, "edges": edges}
    if source.pictured:
        tiles = _tiles(value, source, found, feature, plan)
        value["tiles"], arrays["sheet"] = sheet(tiles)
    elif source.kind == TEXT:
        for item in (*value["top"], *value["bottom"]):
            item.update(_sentence(source, found, feature, item["row"]))
        value["cloud"] = _cloud(found, feature)
    return wire.jsonable(value), arrays


def _prototypes(source: FeatureSource, prototypes: Prototypes, j: int, end: str) -> list[dict[str, Any]]:
    rows, values = getattr(prototypes, end)[j], getattr(prototypes, f"{end}_activations")[j]
    feature = int(prototypes.features[j])
    return [
        source.about(int(row))
        | {"activation": float(value), "percentile": prototypes.percentile(feature, float(value))}
        for row, value in zip(rows, values, strict=True)
        if row >= 0
    ]


def _trimmed(prototypes: Prototypes, j: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """The bins of a histogram that hold something, and both ends of them."""
    used = np.flatnonzero(prototypes.counts[j])
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    counts, edges = prototypes.counts[j, first:last], prototypes.edges[j, [first, last]]
    return counts.astype(np.uint32), edges.astype(np.float32)


def _tiles(
    value: dict[str, Any], source: FeatureSource, found: FeatureFindings, feature: int, plan: Plan
) -> list[Bytes]:
    """Pictures in the order of the page; what is not there yet has no place."""
    tiles: list[Bytes] = []

    def put(picture: Bytes) -> int:
        tiles.append(fitted(picture))
        return len(tiles) - 1

    for end in ("top", "bottom"):
        for item in value[end]:
            item["tile"] = put(_thumbnail(source, item["row"]))
    wanted = set(examples_of(found.prototypes, feature, source.kind, plan))
    for item in value["top"]:
        item["waits"] = item["row"] in wanted
        made = found.explained.get(item["row"])
        if isinstance(made, ImageExplanations) and feature in made.features:
            place = made.place(feature)
            item |= {
                "lime": put(made.overlay(0, feature)),
                "r2": float(made.r2_left_out[0, place]),
                "poor": bool(made.poor[0, place]),
            }
    seen = found.pictures.get(feature)
    if seen is not None:
        value["visual"] = [
            {
                "sign": int(sign),
                "tile": put(rgb_bytes(seen.pictures[0, s][None], box_from(seen.provenance.params))[0]),
                "activation": float(seen.activations[0, s]),
                "beyond": float(seen.beyond[0, s]),
            }
            for s, sign in enumerate(seen.signs)
        ]
    return tiles


def _thumbnail(source: FeatureSource, row: int) -> Bytes:
    """A small picture of an example; kept, because its row is painted again when more is found."""
    kept = source.thumbnails.get(row)
    if kept is None:
        while len(source.thumbnails) >= _THUMBNAILS:
            source.thumbnails.pop(next(iter(source.thumbnails)))
        source.thumbnails[row] = kept = fitted(source.bytes_of(row))
    return kept


def fitted(picture: Bytes, side: int = SIDE) -> Bytes:
    """A picture (H, W, 3) no larger than the page shows it."""
    height, width = picture.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return picture
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def sheet(tiles: Sequence[Bytes]) -> tuple[list[list[int]], Bytes]:
    """Pictures side by side as one image file: exact where they are small, otherwise as WebP or JPEG.

    Returns:
        Place (x, width, height) of each, and the file's bytes.
    """
    if not tiles:
        return [], np.zeros(0, np.uint8)
    height, width = max(t.shape[0] for t in tiles), sum(t.shape[1] for t in tiles)
    whole, places, x = np.zeros((height, width, 3), np.uint8), [], 0
    for tile in tiles:
        h, w = tile.shape[:2]
        whole[:h, x : x + w] = tile
        places.append([x, w, h])
        x += w
    file = io.BytesIO()
    image = Image.fromarray(whole)
    if height <= _SHARP:
        image.save(file, "PNG", optimize=True)
    elif features.check("webp"):
        image.save(file, "WEBP", quality=82, method=2)
    else:
        image.save(file, "JPEG", quality=88, subsampling=0)
    return places, np.frombuffer(file.getvalue(), np.uint8)


def _sentence(source: FeatureSource, found: FeatureFindings, feature: int, row: int) -> dict[str, Any]:
    """A sentence in pieces, each word with its weight once it has been explained; it stays text."""
    whole = source.sentence(row)
    made = found.explained.get(row)
    known: dict[str, float] = {}
    about: dict[str, Any] = {"text": fields.cut(whole, _SENTENCE)}
    if isinstance(made, TextExplanations) and feature in made.features:
        j = made.place(feature)
        known = dict(zip(made.words_of(0), made.weights_of(0)[:, j].tolist(), strict=True))
        about |= {"r2": float(made.r2_left_out[0, j]), "poor": bool(made.poor[0, j])}
    pieces = pieces_of(whole[:_SENTENCE])
    about["pieces"] = [[piece, known.get(piece) if word else None] for piece, word in pieces[:_PIECES]]
    about["cut"] = len(whole) > _SENTENCE or len(pieces) > _PIECES
    return about


def _cloud(found: FeatureFindings, feature: int) -> dict[str, Any]:
    """Mean weights of words over the sentences explained so far: those that raise the feature, and lower it.

    These are prototypes of features on the screen. Algorithm 2 (:func:`word_clouds`) wants every sentence of
    a corpus that was not chosen by the features.
    """
    made = [one for one in list(found.explained.values()) if isinstance(one, TextExplanations)]
    made = [one for one in made if feature in one.features and len(one.words)]
    if not made:
        return {"sentences": 0, "positive": [], "negative": []}
    clouds = word_clouds(_joined(made, feature), top=_CLOUD)
    found_for: dict[str, Any] = {"sentences": clouds.n_sentences, "positive": [], "negative": []}
    for row in clouds.table(feature).to_dict("records"):
        word: list[Any] = [fields.cut(str(row["word"]), 60), row["weight"], int(row["sentences"])]
        found_for[str(row["cloud"])].append([*word, row["low"], row["high"]])
    return found_for


def _joined(made: Sequence[TextExplanations], feature: int) -> TextExplanations:
    """Sentences that were explained one by one, for one feature, as if at once."""
    columns = [slice(one.place(feature), one.place(feature) + 1) for one in made]

    def side_by_side(name: str) -> npt.NDArray[Any]:
        return np.concatenate(
            [getattr(one, name)[:, column] for one, column in zip(made, columns, strict=True)]
        )

    names = ("weights", "intercepts", "activations", "r2", "r2_left_out", "stability")
    return TextExplanations(
        provenance=made[0].provenance,
        sentences=tuple(one.sentences[0] for one in made),
        rows=np.concatenate([one.rows for one in made]),
        words=tuple(word for one in made for word in one.words),
        starts=np.cumsum([0, *[len(one.words) for one in made]]).astype(np.int64),
        features=np.array([feature], np.int64),
        feature_names=(f"feature {feature}",),
        **{name: side_by_side(name) for name in names},
    )


def example_answer(source: FeatureSource, row: int) -> tuple[dict[str, Any], dict[str, wire.Array]]:
    """One example: what it is, and its deep features in the path's units."""
    z = source.standardized(row)
    value = source.about(row) | {"kind": PICTURES if source.pictured else source.kind}
    arrays: dict[str, wire.Array] = {"z": z.astype(np.float32)}
    if source.pictured:
        value["tiles"], arrays["sheet"] = sheet([fitted(source.bytes_of(row), 2 * SIDE)])
    elif source.kind == TEXT:
        value["text"] = fields.cut(source.sentence(row), fields.LABEL_LIMIT)
    return wire.jsonable(value), arrays
