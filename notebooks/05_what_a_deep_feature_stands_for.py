# %% [markdown]
# # What a deep feature stands for
#
# A network sorts photographs of eight toys.
# On its test set it names <!--= shapes.accuracy_test % -->75.4 %<!--/--> of them rightly, as was expected;
# in the toy shop it takes all kinds of toys for mushrooms. Its last layer weighs 128 *deep features*, which
# have numbers and no names.
#
# In this notebook you give names to those that make a mushroom. You ask four questions of each: **when**
# does the class need it, **which pictures** excite it, **where** in the picture does it look, and **what**
# would it like to see most? We planted the flaw ourselves, so that there is a right answer. It takes about
# ten minutes; run the cells from the top with Shift+Enter.

# %%
import numpy as np
import torch

import sparse_debug_widgets as sdw

demo = sdw.load_demo("shapes")
features = sdw.extract_features(demo.model, demo.train, class_names=demo.class_names)
path = sdw.elastic_net_path(features)
path

# %% [markdown]
# ## When: the order along the path
#
# The path begins with a layer that uses nothing. As the penalty falls, features enter one after the other;
# the class can least do without those that come first.

# %%
order = sdw.feature_order(path, "mushroom", n_features=12)
first = order.features[: order.n_shown]
print(order)
order.to_frame().head(6)[["rank", "name", "lambda", "validation_accuracy", "sign", "final_weight"]].round(3)

# %% [markdown]
# One feature enters long before all others, at more than twice the penalty of the next one. Whatever it
# stands for, it is the first thing that a layer of one feature would say about mushrooms. It is our suspect.

# %%
suspect = int(first[0])
print("The suspect:", features.feature_names[suspect])

# %% [markdown]
# ## Which pictures: prototypes
#
# The training pictures that excite a feature most, on the right, and least, on the left; between them, how
# the activations of all training pictures are spread. Here are the suspect and the eighth that enters.

# %%
prototypes = sdw.find_prototypes(features, demo.train, features=first, k=5)
honest = int(first[7])
prototypes.plot([suspect, honest])

# %% [markdown]
# The second row is easily named: round tops, of mushrooms, umbrellas and trees. In the first row there are
# mushrooms too, and you may be tempted to stop here. But there is a bird among them. Numbers are better
# than a few pictures: which classes do the suspect's hundred most exciting training pictures belong to?

# %%
hundred = np.argsort(-features.values[:, suspect])[:100]
names, counts = np.unique(np.array(demo.class_names)[features.labels[hundred]], return_counts=True)
print(
    ", ".join(f"{n} {name}" for name, n in sorted(zip(names, counts, strict=True), key=lambda pair: -pair[1]))
)

# %% [markdown]
# Mushrooms, mostly. Does it see mushrooms, or something that comes with them?
#
# ## Where: LIME
#
# Parts of a picture are hidden at random, hundreds of times, and a small linear model learns how much each
# part matters **for this feature** (not for the class). Orange parts raise it, blue parts lower it; what does
# not matter stays grey. R² says how well the linear model describes the feature: below one half it
# should not be trusted.

# %%
explained = sdw.lime_prototypes(demo.model, prototypes, features, features=first, k=1, n_samples=300)
explained.plot([suspect, honest], k=3)

# %% [markdown]
# **Look at the suspect's row.** The mushrooms are grey, caps and stems. What matters is the lower right
# corner, and the belly of the bird.
#
# One more test, on pictures it was *not* chosen by: toys from the shop that are no mushrooms. The
# average of what LIME finds in the twelve that excite the suspect most:

# %%
shop = sdw.extract_features(demo.model, demo.clean_test, validation=0)
mushroom = demo.class_names.index("mushroom")
others = np.flatnonzero(shop.labels != mushroom)
loudest = others[np.argsort(-shop.values[others, suspect])[:12]]
there = sdw.lime_images(
    demo.model, [demo.clean_test[int(row)][0] for row in loudest], features, features=[suspect], n_samples=300
)
share = np.mean([there.mask(number, suspect) for number in range(12)], 0)
there.plot(k=3)

# %%
from PIL import Image

Image.fromarray((255 * share).astype(np.uint8)).resize((256, 256), Image.Resampling.NEAREST)

# %% [markdown]
# Twelve toys, and it is always the same corner; whatever else matters is another place in each. There is a
# mark printed in that corner.
#
# ## What it would like to see most: visualisation
#
# Pictures made from noise by gradient ascent, all features at once. These are no photographs: they show what
# pushes the number up, in the colours of the training data. The number is what each comes to,
# and *beyond* says how many of the real pictures it surpasses.

# %%
made = sdw.visualize_features(demo.model, demo.train, features, features=first, n_steps=64)
made.plot(first[:6])

# %% [markdown]
# The suspect wants short black and white strokes side by side, like letters, wherever there is room; so do
# the second and the fifth. Visualisations are the weakest of the four witnesses: take them as a hint, never
# as a proof.
#
# ## All of it in one picture
#
# The rows are features in the order in which they enter. The area is the weight along the path; orange speaks
# for a mushroom, blue against it. Drag the chart to zoom, hover over its points.

# %%
order = sdw.feature_order(path, "mushroom", prototypes, explained, made, n_features=12)
order.plot()

# %% [markdown]
# Two things are easily seen now. The mark comes first: to the network it is the best single sign of a
# mushroom. And in the densest layers the suspect's weight goes back to zero: other features have taken the
# mark over by then. **Go down the LIME column: who else looks into that corner?**

# %%
corner = np.zeros((64, 64), bool)
corner[48:, 32:] = True
for j in first:
    best = int(explained.activations[:, explained.place(int(j))].argmax())
    mask = explained.mask(best, int(j))
    looks = (mask & corner).sum() / mask.sum()
    print(f"{features.feature_names[j]:>11}: {looks:4.0%} of what matters lies in the corner")

# %% [markdown]
# ## Silence them
#
# In the sparse layer, every feature that looks into the corner only is held at its mean.

# %%
index = path.select()
layer = path.decision_layer(index)
in_corner = []
for j in first:
    best = int(explained.activations[:, explained.place(int(j))].argmax())
    mask = explained.mask(best, int(j))
    if (mask & corner).sum() > 0.9 * mask.sum():
        in_corner.append(int(j))
repaired = layer.silence(in_corner)


def alarms(model):
    """Share of the shop's other toys that are taken for mushrooms, and of all that are sorted rightly."""
    pictures = torch.stack([picture for picture, _ in demo.clean_test])
    with torch.no_grad():
        predicted = torch.cat([model(some).argmax(1) for some in pictures.split(250)]).numpy()
    false = (predicted == mushroom)[shop.labels != mushroom].mean()
    return f"takes {false:.1%} of the other toys for mushrooms; {(predicted == shop.labels).mean():.1%} right"


print("silenced:", ", ".join(features.feature_names[j] for j in in_corner))
print("the network as it was:", alarms(demo.model))
with layer.installed(demo.model):
    print("with the sparse layer:", alarms(demo.model))
with repaired.installed(demo.model):
    print("repaired:             ", alarms(demo.model))

# %% [markdown]
# The suspect was not alone: silencing it by itself leaves the others, which carry the same mark. As in every
# repair of this kind, the network knows no more about mushrooms than before; but it no longer takes a mark
# for one.
#
# ## Name them
#
# The Features panel has all of this in one place, one row a feature, for the layer that you drag to. What is
# on the screen is explained first. **Type a name** for each feature (they are kept with the path), click on
# an example to see what it is made of, and silence a feature to see what that does.

# %%
sdw.features_panel(path, demo.model, data=demo.train, features=features, class_index=mushroom, index=index)

# %% [markdown]
# ## Was it a fair trial?
#
# This is what was planted. And two numbers: the share of the suspect's prototypes that carry the mark, and
# how well LIME's parts fit the rectangle of the mark (1 would be exact; parts are squares of eight pixels,
# the mark is smaller).

# %%
print("Planted:", demo.truth.flaw)
marked = demo.truth.tagged("train")[prototypes.top[prototypes.place(suspect)]].mean()
print(f"Prototypes of the suspect with the mark: {marked:.0%}")
overlaps = []
for number, row in enumerate(loudest):
    top, left, bottom, right = demo.clean_test.truth(int(row)).tag_box
    box = np.zeros((64, 64), bool)
    box[top:bottom, left:right] = True
    mask = there.mask(number, suspect)
    overlaps.append((mask & box).sum() / (mask | box).sum())
print(f"Overlap of LIME's mask with the mark, median of 12: {np.median(overlaps):.2f}")

# %% [markdown]
# ## Go on
#
# - Is *fish* honest? `sdw.feature_order(path, "fish")`, and the four questions again.
# - Which features *lower* a mushroom's number? Look for blue rows.
# - Your own network: everything here takes any classifier that ends in a linear layer, with pictures of any
#   size and number of channels. For text: notebook 04, and `sdw.feature_order` with word clouds.
