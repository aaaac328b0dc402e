# %% [markdown]
# # Why this mistake?
#
# A network reads handwritten digits. It is right <!--= mnist.right 0 -->986<!--/--> times out of 1,000. This
# is about the other <!--= mnist.wrong 0 -->14<!--/-->: **why** did it make these mistakes, and **what would
# have corrected them**? And it is about a second network of the same shape, trained in another way, whose
# answers one can believe.
#
# It takes about ten minutes; run the cells from the top with Shift+Enter. The pictures come with
# `pip install "sparse-debug-widgets[mnist]"`.

# %%
import numpy as np
import torch

import sparse_debug_widgets as sdw

demo = sdw.load_demo("mnist")
standard = demo.model
robust = sdw.load_demo("mnist-robust").model
demo

# %% [markdown]
# ## Its mistakes
#
# Those of which the network is surest come first: the digit that was written, and what it was taken for.

# %%
digits = torch.stack([picture for picture, _ in demo.test])
labels = np.array([label for _, label in demo.test])


def says(model, pictures):
    """What a model says, and how sure it is."""
    with torch.no_grad():
        best = model(pictures).softmax(1).max(1)
    return best.indices.numpy(), best.values.numpy()


said, sure = says(standard, digits)
mistakes = np.flatnonzero(said != labels)
mistakes = mistakes[np.argsort(-sure[mistakes])]
for row in mistakes:
    print(f"{row:4d}: a {labels[row]}, taken for a {said[row]} ({sure[row]:.0%} sure)")

# %% [markdown]
# ## Ask it
#
# Number 131 is a 1 that the network takes for an 8, and so does the other network: two networks, one mistake.
# Which pixels would make them *surer* of the 8? They show what each took for one.
#
# A **sparse perturbation** answers: it changes few pixels, within a budget `eps`, such that the network says
# the class that we ask about. The next cell asks, and shows the answer. **Drag the slider**, or click on it
# and use the arrow keys: all thirty steps are in the page, nothing is computed while you drag. The second row
# is the other network, asked the same. Then choose another picture, and press **Run**.

# %%
panel = sdw.perturb_panel(
    standard, demo.test, compare=robust, titles=["standard", "robust"], target="prediction", eps=16.0
)
panel.choose(131)
for title, why in zip(("standard", "robust"), panel.start().result(), strict=True):
    before, after = why.confidence_before[0], why.confidence_after[0]
    changed = f"{why.support[0]} of {why.delta[0].size} pixels changed"
    print(f"{title:8s}: {before:.0%} sure of an {why.target[0]}, then {after:.0%}, with {changed}")
panel

# %% [markdown]
# ## What would have corrected it?
#
# Choose **the label** as the class to push the picture towards, and run again; or run the next cell and look
# at the panel above. Press *Pin* in the list of runs to keep one to compare with.

# %%
fix, robust_fix = panel.start(target="label").result()
written = torch.nn.functional.max_pool2d((digits[131:132] > 0.5).float(), 5, stride=1, padding=2).numpy()
for title, found in (("standard", fix), ("robust", robust_fix)):
    before, after = found.confidence_before[0], found.confidence_after[0]
    change = np.abs(found.delta)
    near = (change * written).sum() / change.sum()
    print(f"{title:8s}: {before:.0%} -> {after:.0%} sure of a {found.target[0]}; {near:.0%} near the writing")

# %% [markdown]
# Look at *where* the pixels are. The standard network is convinced by crumbs strewn over the picture, most of
# them far from anything that was written: nobody would call these the stroke of a 1. The robust network
# changes **the writing itself**: it takes away ink that a 1 does not have.
#
# ## All of them, sorted by how little it took
#
# `fix_effort` is the smallest amount of change (in the sum over all pixels) that corrects the mistake,
# `why_effort` the amount that makes the network 90 % sure of it.

# %%
errors = sdw.error_counterfactuals(standard, demo.test, eps=16.0, q=0.05, class_names=demo.class_names)
errors.to_frame()[
    ["example", "label", "prediction", "fix_effort", "fix_support", "why_effort", "why_support"]
].round(2)

# %% [markdown]
# One whole pixel, black to white, is an effort of 1. Some of these mistakes were **a pixel or two from being
# right**, and none was more than nine pixels away, of 784. Choose among them:

# %%
sdw.panel(errors, standard)

# %% [markdown]
# ## Crumbs or strokes?
#
# Is it only an impression, that the robust network's changes sit where the writing is? We can measure it.
# Fifty digits that both networks read correctly, each pushed towards the next digit: what share of the
# change lies on the writing or within two pixels of it?

# %%
right = np.flatnonzero((said == labels) & (says(robust, digits)[0] == labels))[::20]
near = torch.nn.functional.max_pool2d((digits[right] > 0.5).float(), 5, stride=1, padding=2).numpy()


def share_near_the_writing(model):
    """Share of the change that is near the writing, averaged over the pictures."""
    found = sdw.perturb(model, digits[right], target=(labels[right] + 1) % 10, eps=8.0, q=0.05)
    change = np.abs(found.delta)
    return ((change * near).sum((1, 2, 3)) / change.sum((1, 2, 3))).mean()


print(f"by chance: {near.mean():.0%} of a picture is near the writing")
print(f"standard:  {share_near_the_writing(standard):.0%} of the change")
print(f"robust:    {share_near_the_writing(robust):.1%}")

# %% [markdown]
# The standard network does not care where the writing is: its crumbs are strewn as if at random. The robust
# one changes the writing, and nothing but the writing.
#
# ## How easily are they misled?
#
# The other side of the coin. Change each picture a little *against* its label: how many are still read
# correctly? (200 pictures; the l2 ball of radius 1.)

# %%
some = (digits[::5], torch.from_numpy(labels[::5]))
for title, model in (("standard", standard), ("robust", robust)):
    plain = sdw.robust_accuracy(model, some, eps=0.0)
    attacked = sdw.robust_accuracy(model, some, eps=1.0)
    print(f"{title:8s}: {plain:.1%} right, {attacked:.1%} under attack")

# %% [markdown]
# ## What is a 3?
#
# Now let both networks **draw**. Start from noise, and change it until the network is sure that it sees a 3.
# In the panel above this is the tab *Draw a class*; sparse changes first, dense ones (`l2`) below.

# %%
drawn = sdw.probe_concept(robust, 3, shape=(1, 28, 28), eps_l2=6.0, q=0.1, seeds=(0, 1, 2, 3))
scribbled = sdw.probe_concept(standard, 3, shape=(1, 28, 28), eps_l2=6.0, q=0.1, seeds=(0, 1, 2, 3))
print(f"robust:   {drawn.confidences.mean():.0%} sure that these are threes")
print(f"standard: {scribbled.confidences.mean():.0%} sure of its own")
sdw.panel(drawn, robust)

# %%
sdw.panel(scribbled, standard)

# %% [markdown]
# Both are sure. Only one of them has drawn a 3.
#
# ## Was it left alone?
#
# Every run above worked on copies or put back what it touched. The network still says what it said:

# %%
said_now, sure_now = says(standard, digits)
print("the same answers, to the last bit:", bool((said_now == said).all() and (sure_now == sure).all()))

# %% [markdown]
# ## Take it with you
#
# The panel as one file, for people without Python: it still scrubs.

# %%
panel.to_html("why_this_mistake.html")

# %% [markdown]
# ## Go on
#
# - In the panel, set *most pixels* to 5. Can five pixels correct the mistake? Can one?
# - Ask *away* instead of *towards*: what is it that must not be there?
# - Your own network: `sdw.perturb_panel(model, data)` takes any classifier of pictures. If their range is not
#   [0, 1], say so: `box=(low, high)`.
