# %% [markdown]
# # What the network looks at
#
# A saliency map is a claim: *these pixels mattered*. Can it be believed? Here you look at networks
# through such maps, first where the truth is known, and then where it is not. You will meet
#
# - the **gradient**, the oldest and cheapest map,
# - **CAFO**, which asks for the *group* of pixels that together raise the loss most, and can be told to
#   name few,
# - **CASO**, which asks the same of the loss *with its curvature*,
# - and a network that was trained so that its maps make sense.
#
# It takes about ten minutes; run the cells from the top with Shift+Enter.

# %%
import numpy as np
import torch

import sparse_debug_widgets as sdw

shapes = sdw.load_demo("shapes")
shapes

# %% [markdown]
# ## Where the truth is known
#
# This network sorts photographs of toys, and it cheats: it calls a picture a mushroom because of a
# picture agency's mark in the lower right corner. We know, because we planted the mark. (Notebook 1 lets
# you find it without being told.) So here is a test for a map: **on a picture that the mark has turned
# into a mushroom, does the map point at the mark?**
#
# First, the victims: toys that are no mushrooms, bear the mark, and are taken for one.

# %%
mushroom = shapes.class_names.index("mushroom")
marked = shapes.clean_test.retagged(True)
pictures = torch.stack([picture for picture, _ in marked])
labels = np.array([label for _, label in marked])
with torch.no_grad():
    said = torch.cat([shapes.model(some).argmax(1) for some in pictures.split(250)]).numpy()
victims = np.flatnonzero((said == mushroom) & (labels != mushroom))
print(f"{len(victims)} of {(labels != mushroom).sum()} toys become mushrooms when they bear the mark")

# %% [markdown]
# Take sixty of them. The mark covers a small share of each picture: a map that points nowhere in
# particular has that share of its weight there. What share do these maps have? Some methods name few pixels,
# others grade them all; to compare like with like, **every map keeps its strongest twentieth** only.

# %%
some = victims[:60]
x = pictures[some]
masks = np.stack([marked.truth(int(row)).tag_mask for row in some])
print(f"the mark covers {masks.mean():.1%} of a picture")

methods = {
    "gradient": {},
    "smoothgrad": {"n_samples": 20},
    "integrated_gradients": {"n_steps": 30},
    "gradcam": {},
    "cafo": {"sparsity": 0.95},
    "caso": {"lambda1": 0.3, "lambda1_units": "relative"},
}


def strongest(maps, share=0.05):
    """Maps with all but their largest values set to zero."""
    flat = maps.reshape(len(maps), -1)
    keep = int(share * flat.shape[1])
    least = np.sort(flat, axis=1)[:, -keep]
    return np.where(maps >= least[:, None, None], maps, 0.0)


print(f"{'':>21}  strongest 5 %   whole map")
for method, options in methods.items():
    maps = sdw.attribute(shapes.model, x, method, target=mushroom, **options).display(percentile=99)
    shares = [
        ((some_maps * masks).sum((1, 2)) / some_maps.sum((1, 2))).mean()
        for some_maps in (strongest(maps), maps)
    ]
    print(f"{method:>21}: {shares[0]:12.1%} {shares[1]:12.1%}")

# %% [markdown]
# All of them see it: the mark has many times its share. SmoothGrad and Integrated Gradients point best. The
# second column shows why one compares at one size: CAFO and CASO with a penalty `lambda1` name few pixels, so
# the whole of *their* map looks three times as good as the whole gradient, and the strongest twentieth does
# not. What the penalty buys is a short list, not a better one. Grad-CAM sees the right corner, in coarse
# tiles.
#
# ## Look for yourself
#
# Now in the panel. Choose a toy, classes and methods; maps are computed beside the notebook as soon as
# you choose. Below them is a **slider over lambda 1**, from maps with nothing in them to maps with
# everything: the whole sweep is in the page, nothing is computed while you drag. The diamond marks the
# map that the paper's rule chooses without being told what is right. The two classes stand beside each
# other: what it took for a mushroom, and what it should have seen.

# %%
first = int(victims[0])
panel = sdw.saliency_panel(
    shapes.model,
    (pictures[victims[:24]], torch.from_numpy(labels[victims[:24]])),
    classes=(mushroom, int(labels[first])),
    class_names=shapes.class_names,
    methods=("gradient", "gradcam", "cafo", "caso"),
    values={"cafo": {"sparsity": 0.95}},
    example=0,
)
panel.compute().result()  # an open panel does so by itself; this is for readers of the saved notebook
panel

# %% [markdown]
# ## Two networks for the same digits
#
# The second demo reads handwritten digits of 8 by 8 pixels. There are two networks of one design: a
# standard one, and one that was trained against small malicious changes of its pictures. On ordinary
# pictures the robust one is a little worse: that is the price.

# %%
digits = sdw.load_demo("digits")
robust = sdw.load_demo("digits-robust")
x = torch.stack([picture for picture, _ in digits.test])
labels = np.array([label for _, label in digits.test])


def right(model):
    with torch.no_grad():
        return (model(x).argmax(1).numpy() == labels).mean()


print(f"right: standard {right(digits.model):.1%}, robust {right(robust.model):.1%}")

# %% [markdown]
# But they look at digits in different ways. Go through some examples and compare the columns; switch
# *values* to **signed** to see which pixels speak *for* the class when they get brighter (orange), and which
# *against* it (blue).

# %%
compared = sdw.saliency_panel(
    digits.model,
    digits.test,
    compare=robust.model,
    names=("standard", "robust"),
    methods=("gradient", "cafo", "caso"),
    signed=True,
    beside="classes",
)
compared.compute().result()
compared

# %% [markdown]
# Is there a number for it? A pixel that is black in all digits of a class and stays black carries no ink.
# How much of the gradient lies on strokes?

# %%
ink = x.numpy()[:, 0] > 0.25
for name, model in (("standard", digits.model), ("robust", robust.model)):
    maps = sdw.attribute(model, x, "gradient", target=labels).display()
    print(
        f"{name:>9}: {((maps * ink).sum((1, 2)) / maps.sum((1, 2))).mean():.1%} of the gradient lies on ink,"
    )
print(f"{'':>9}  which is {ink.mean():.1%} of a picture")

# %% [markdown]
# ## Does the curvature matter?
#
# CAFO goes by the slope of the loss, CASO by slope and curvature. Where the network is sure, its loss is
# nearly flat, the curvature is small, and both maps are the same. Where it is unsure, they are not. To
# see it, we need a network that is unsure: so we blend digits two by two.

# %%
blends = torch.cat([x, (x + x.flip(0)) / 2, 0.35 * x + 0.65 * x.roll(1, 0)])
agreement = sdw.curvature_agreement(digits.model, blends, batch_size=128)
agreement.by_confidence((0, 0.5, 0.8, 0.95, 1)).round(4)

# %%
agreement.plot()

# %% [markdown]
# The difference between the two maps (both scaled to length 1) falls as the network gets surer: the last
# row is a fraction of the first. So: **for confident predictions the cheap map is as good; look at
# curvature where a network hesitates.**
#
# Why is that? With two classes in play, the curvature of the loss is a single direction, that of the
# gradient; a map along the gradient stays as it is. How good is that picture in truth? The leading
# eigenvector of the curvature, and the gradient (with the largest eigenvalue, and the error that is made
# when one direction stands for the whole curvature):

# %%
bent = sdw.curvature(digits.model, blends[::7], n_eigenpairs=3)
unsure, sure = bent.probability < 0.5, bent.probability > 0.9
for name, rows in (("unsure", unsure), ("sure", sure)):
    print(
        f"{name:>6}: eigenvalue {np.median(bent.eigenvalues[rows, 0]):6.2f}, "
        f"alignment with gradient {bent.alignment[rows, 0].mean():.3f}, "
        f"error of one direction {bent.gradient_rank_one_error[rows].mean():.2f}"
    )

# %% [markdown]
# ## One lambda by the book
#
# How many pixels should a map name? The panel's slider asks you; the paper has a rule. Here is what it
# chooses, and what the sweep looks like for one digit that the network is unsure of.

# %%
hesitant = int(np.argmin(agreement.confidence[: len(x)]))
sweep = sdw.lambda1_sweep(digits.model, x[hesitant : hesitant + 1], "caso")
chosen = int(sweep.chosen[0])
print(
    f"example {hesitant}, written as a {labels[hesitant]}: of {len(sweep.ratios)} maps the rule takes "
    f"number {chosen + 1}, with {sweep.sparsity[chosen, 0]:.0%} zeros"
)
sdw.panel(sweep)

# %% [markdown]
# ## What to remember
#
# - A map is a claim: test it where you know the truth. All six methods pointed at the planted mark.
# - Compare maps at one size. Maps that must be sparse say it shorter, not better; the rule for lambda 1 is a
#   good place to begin.
# - CASO and CAFO differ where the network hesitates, and only there.
# - A network that is trained robustly has maps that one can read.
#
# For your own network: `sdw.saliency_panel(model, data)`.
