# %% [markdown]
# # Five concepts for one class
#
# A heat map says *where* a network looks, not *what it sees there*: one map for a class joins everything
# that speaks for it. **x-features** take the class apart: a small explanation network is trained to give
# the same score from a handful of numbers, each of which should look at one thing. Every number has a
# heat map of its own, and says how much it adds to the score of each picture.
#
# We try it where we know the truth: made-up bugs of four parts (tail, wing, feet, crown), each in three
# variants, on a body that all share. A class is a combination of variants; three bugs in ten lack a part.

# %%
import numpy as np
import pandas as pd
import torch

import sparse_debug_widgets as sdw

demo = sdw.load_demo("parts")
explained = demo.class_names.index("bug bbca")
labels = np.array([label for _, label in demo.test])
rows = np.flatnonzero(labels == explained)[:60]
pictures = torch.stack([demo.test[int(row)][0] for row in rows])
with torch.no_grad():
    logits = demo.model(pictures)
right = (logits.argmax(1) == explained).float().mean()
print(f"{len(rows)} pictures of {demo.class_names[explained]}; the network is right on {right:.0%}")

# %% [markdown]
# ## Train, look, name
#
# This takes a while: several small networks are trained, one layer after the other, on what enters the
# network's decision layer. The network itself is left as it is.

# %%
found = sdw.x_features(
    demo.model,
    demo.train,
    explained,
    test=demo.test,
    n=5,
    gallery=rows.tolist(),
    class_names=demo.class_names,
)

# %%
panel = sdw.panel(
    found,
    demo.model,
    data=demo.train,
    test=demo.test,
    shown=(int(np.abs(found.contributions).mean(0).argmax()),),
    selected=(0, 1, 2),
)
panel

# %% [markdown]
# - Click **H1 ... H5** (or press 1 ... 5) to lay a map over all pictures, the small numbers under a picture
#   for that one alone. Orange numbers raise the class's score, blue ones lower it.
# - Move the mouse over a picture to see it without its map.
# - Click pictures to compare all their maps in one table, and a column to sort by it.
# - When you see what an x-feature is about, **type its name**. It stays with `panel.result`, also in a file.
#
# First of all, may we believe them at all? The tiles say how well five numbers imitate the network on
# pictures they have not learnt from. And not all five are needed: those that add next to nothing
# explain nothing, however nice their maps are.
#
# One tile warns: *Numbers yes, maps no*. On the way down to the picture most of a map's mass is lost in this
# network's layers, so a map is a hint where to look first, and no proof. That is why the next two sections
# ask the parts and the data, and believe a map only where both agree.

# %%
share = np.abs(found.contributions).mean(0)
matters = share >= 0.1 * share.max()
pd.DataFrame({"mean contribution": found.contributions.mean(0), "matters": matters}, index=found.names).round(
    2
)

# %% [markdown]
# ## What do they look at?
#
# We know where the parts are. Of the mass of each x-feature's map, how much lies on which part?

# %%
masks = demo.truth.masks(rows, "test")
parts = list(demo.truth.part_names)


def on_parts(maps):
    """Share of the mass of (k, n, H, W) maps on each part, all pictures together."""
    mass = np.einsum("knhw,kphw->np", maps.clip(min=0), masks)
    return mass / maps.clip(min=0).sum((0, 2, 3))[:, None]


where = pd.DataFrame(on_parts(found.maps[:, matters]), index=np.array(found.names)[matters], columns=parts)
where.loc["1-heatmap"] = on_parts(found.baseline[:, None])[0]
where.round(2)

# %% [markdown]
# A part that covers more pixels gets more mass by chance alone, so compare the rows with each other, and
# with the last one: the single map of the class.
#
# ## Does a part matter because a map lies on it?
#
# Not necessarily: a map is only a claim. The data can tell: three bugs in ten lack a part. When a part is
# missing, which x-feature contributes less?

# %%
there = masks.any((2, 3))
drop = pd.DataFrame(index=where.index[:-1], columns=[f"without {part}" for part in parts[:-1]], dtype=float)
for p, part in enumerate(parts[:-1]):
    lacking = ~there[:, p]
    if lacking.any():
        change = found.contributions[lacking].mean(0) - found.contributions[there.all(1)].mean(0)
        drop[f"without {part}"] = change[matters]
drop.round(2)

# %% [markdown]
# Large negative numbers: the x-feature needs that part. Only a name that both tables support is worth
# giving. Let us do it by the numbers here (you would type it):

# %%
for h in np.flatnonzero(matters):
    needed = drop.loc[found.names[h]]
    if needed.notna().any() and needed.min() < 0:
        part = needed.idxmin().removeprefix("without ")
        panel.rename(int(h), f"{part} {h + 1}")
print(panel.result.names)

# %% [markdown]
# ## Is the training worth it?
#
# The plain alternative is to pick five of the layer's own features with the lasso. Both are judged by the
# same numbers: how well they imitate the score (`F_reg`: lower is better; `F_cls`: higher), whether their
# maps differ (`O1`, `O2`: lower), and whether each map lies on few parts (`locality`: lower).

# %%
picked = sdw.x_features(
    demo.model, demo.train, explained, test=demo.test, n=5, method="lasso", gallery=rows.tolist()
)
judged = {
    name: sdw.explanation_metrics(result, logits=logits, masks=masks, part_names=parts).to_frame()
    for name, result in (("x-features", found), ("lasso", picked))
}
table = pd.DataFrame({name: frame.set_index("metric")["value"] for name, frame in judged.items()})
table["better"] = judged["lasso"].set_index("metric")["better"]
table.round(3)

# %% [markdown]
# ## What to believe
#
# - **First the tiles, then the maps.** x-features that do not imitate the score explain something else.
# - **Count those that matter.** If one x-feature carries nearly all of the score, the class has one concept
#   in this layer, and no method can make five of it.
# - **A name is a hypothesis.** Test it on pictures that lack the thing, as above, before you tell anybody.
# - **Compare with something simple.** Where the lasso is as good, use the lasso.
#
# For your own network: `sdw.x_features_panel(model, data)`.
