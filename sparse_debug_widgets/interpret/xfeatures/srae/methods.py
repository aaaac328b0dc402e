"""The registry of explanation networks. To add one: one line here."""

from __future__ import annotations

from dataclasses import dataclass

from sparse_debug_widgets.core.meaning import Meaning
from sparse_debug_widgets.core.registry import Registry
from sparse_debug_widgets.interpret.xfeatures.srae.fit import Terms


@dataclass(frozen=True)
class ExplanationMethod:
    """A way to find the x-features of a class.

    Attributes:
        terms: Factors of the loss; None: no network is trained, features of the layer are selected.
        meaning: What the "?" beside its name tells.
        balanced: Its loss weighs terms against each other that may come out of balance: such a training is
            tried again.
    """

    terms: Terms | None
    meaning: Meaning | None = None
    balanced: bool = False

    @property
    def selects(self) -> bool:
        """True if it selects features of the layer in place of training a network."""
        return self.terms is None


METHODS: Registry[ExplanationMethod] = Registry(
    "method",
    {
        "srae": ExplanationMethod(
            Terms(),
            Meaning(
                "A small network finds a few x-features that add up to the class's score, that the layer "
                "can be rebuilt from where it matters, and that do not repeat each other.",
                "minimise  50 · mean (s − ŝ)² + 10 · mean log(1 + q eⱼ) + 10 · mean cos²(hᵢ, hₖ);   "
                "ŝ = Σᵢ wᵢ hᵢ + b,  eⱼ the mean squared error of dimension j, rebuilt from h",
            ),
            balanced=True,
        ),
        "nn": ExplanationMethod(
            Terms(beta=0.0, eta=0.0),
            Meaning(
                "The small network learns only to add up to the class's score: it is faithful, but what its "
                "x-features stand for may be mixed.",
                "minimise  50 · mean (s − ŝ)²,   ŝ = Σᵢ wᵢ hᵢ + b",
            ),
        ),
        "sae": ExplanationMethod(
            Terms(q=None, eta=0.0),
            Meaning(
                "The x-features add up to the class's score and rebuild the whole layer, all of its "
                "dimensions alike, and may repeat each other.",
                "minimise  50 · mean (s − ŝ)² + 10 · mean (z − ẑ)²,   ŝ = Σᵢ wᵢ hᵢ + b,  ẑ rebuilt from h",
            ),
        ),
        "cae": ExplanationMethod(
            Terms(faithful=0.0, q=None, eta=0.0),
            Meaning(
                "The x-features only rebuild the layer; the class's score plays no part until they are "
                "found: a comparison, not an explanation.",
                "minimise  10 · mean (z − ẑ)²,   ẑ rebuilt from h;   then ŝ = Σᵢ wᵢ hᵢ + b by least squares",
            ),
        ),
        "lasso": ExplanationMethod(
            None,
            Meaning(
                "Nothing is trained: the x-features are those n deep features of the layer from which a "
                "sparse linear model best tells the class's score.",
                "minimise over w, b:  mean (s − Σⱼ wⱼ zⱼ − b)² / 2 + λ Σⱼ |wⱼ|,   λ such that n weights stay",
            ),
        ),
    },
)
"""Sparse reconstruction autoencoder, network without reconstruction, stacked autoencoder with plain
reconstruction, autoencoder without faithfulness, and a choice of n features by the lasso."""
