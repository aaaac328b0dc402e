"""The objects of the `shapes` pictures: which parts each class has, as plain data.

To add a class, add an entry. Parts are painted in the order given, so later ones lie in front.
Several classes share parts on purpose (a mushroom's and an umbrella's cap, a trunk and a stem), so that the
pictures are not easy and a model is tempted by a shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass

from sparse_debug_widgets.data.drawing import Figure, box, dome, ellipse, polygon


@dataclass(frozen=True)
class Part:
    """A named part of an object.

    Attributes:
        name: what a person would call it.
        figures: the part is the union of these.
        tone: which of the object's three colours it takes: 0 main, 1 second, 2 dark.
    """

    name: str
    figures: tuple[Figure, ...]
    tone: int = 0


TOYS: dict[str, tuple[Part, ...]] = {
    "house": (
        Part("walls", (box(0, 0.36, 0.62, 0.5),), 0),
        Part("roof", (polygon((-0.88, -0.1), (0, -0.88), (0.88, -0.1)),), 1),
        Part("door", (box(0.22, 0.56, 0.16, 0.3),), 2),
        Part("window", (box(-0.27, 0.26, 0.16, 0.15),), 2),
    ),
    "boat": (
        Part("mast", (box(-0.02, -0.2, 0.05, 0.68),), 2),
        Part("sail", (polygon((0.08, -0.86), (0.08, 0.16), (0.78, 0.16)),), 1),
        Part("hull", (polygon((-0.95, 0.3), (0.95, 0.3), (0.6, 0.8), (-0.6, 0.8)),), 0),
    ),
    "car": (
        Part("cabin", (polygon((-0.62, 0.0), (-0.38, -0.46), (0.3, -0.46), (0.6, 0.0)),), 1),
        Part("body", (box(0, 0.2, 0.96, 0.27),), 0),
        Part("wheels", (ellipse(-0.52, 0.5, 0.23, 0.23), ellipse(0.52, 0.5, 0.23, 0.23)), 2),
    ),
    "fish": (
        Part("tail", (polygon((0.35, 0.0), (0.98, -0.48), (0.98, 0.48)),), 1),
        Part("fin", (polygon((-0.3, -0.3), (0.25, -0.3), (0.2, -0.66)),), 1),
        Part("body", (ellipse(-0.14, 0.02, 0.74, 0.44),), 0),
        Part("eye", (ellipse(-0.52, -0.1, 0.1, 0.1),), 2),
    ),
    "bird": (
        Part("legs", (box(-0.12, 0.68, 0.05, 0.26), box(0.16, 0.68, 0.05, 0.26)), 2),
        Part("beak", (polygon((-0.7, -0.52), (-0.7, -0.24), (-1.06, -0.34)),), 1),
        Part("body", (ellipse(0.12, 0.14, 0.66, 0.42), ellipse(-0.46, -0.36, 0.31, 0.31)), 0),
        Part("wing", (polygon((-0.16, 0.0), (0.92, -0.16), (0.3, 0.36)),), 1),
        Part("eye", (ellipse(-0.54, -0.42, 0.09, 0.09),), 2),
    ),
    "mushroom": (
        Part("stem", (polygon((-0.2, -0.06), (0.2, -0.06), (0.3, 0.86), (-0.3, 0.86)),), 1),
        Part("cap", (dome(0, 0.02, 0.88, 0.86),), 0),
        Part("spots", (ellipse(-0.42, -0.28, 0.15, 0.13), ellipse(0.1, -0.52, 0.17, 0.14),
                       ellipse(0.47, -0.2, 0.13, 0.11)), 1),
    ),
    "tree": (
        Part("trunk", (box(0, 0.55, 0.15, 0.36),), 2),
        Part("crown", (ellipse(0, -0.28, 0.66, 0.58), ellipse(-0.38, 0.0, 0.42, 0.34),
                       ellipse(0.38, 0.0, 0.42, 0.34)), 0),
    ),
    "umbrella": (
        Part("handle", (box(0, 0.36, 0.05, 0.5), box(0.13, 0.84, 0.17, 0.05)), 2),
        Part("cap", (dome(0, -0.08, 0.94, 0.74),), 0),
        Part("panel", (dome(0, -0.08, 0.32, 0.74),), 1),
    ),
}  # fmt: skip
"""Class name -> parts, back to front."""
