# %% [markdown]
# # Why is it wrong?
#
# You are handed a network and its data, and no hint. It sorts photographs of eight toys, and in the shop it
# is wrong half of the time. This notebook goes **from one call to a measured repair**: the workbench, one
# error, the search for a cause that works without clean data, and two repairs with what each does to the
# worst-treated pictures. It takes about five minutes; run the cells from the top with Shift+Enter.

# %%
import sparse_debug_widgets as sdw

demo = sdw.load_demo("shapes")

# %% [markdown]
# ## One call
#
# Nothing but the model and its data. The first pictures are there within seconds; what takes longer fills in.
#
# - Click into *What is taken for what*: the errors of that cell are shown, and each says which feature made
#   it, and what the answer would be without that feature.
# - *Silence* a feature there, and the log on the right says what it did to every class.

# %%
workbench = sdw.debug(demo.model, demo.train, test=demo.test)
workbench

# %% [markdown]
# The same without a browser: a report, which can be read, asked, and written to a page for others.

# %%
report = workbench.run()
print(report)

# %%
report.to_html("why-is-it-wrong.html")

# %% [markdown]
# ## One error, and why
#
# For an error, the *problematic feature* is the one that speaks most for the wrong answer against the right
# one. `explained` are the errors that end when it is silenced. A rate says nothing without its control, so a
# random feature is silenced too.

# %%
features = sdw.extract_features(demo.model, demo.train, test=demo.test, class_names=demo.class_names)
path = sdw.elastic_net_path(features)
errors = sdw.misclassification(path, features)
errors.summary()

# %% [markdown]
# Which classes are mixed up, and do those share features?

# %%
confusion = sdw.confusion(path, features)
confusion.to_frame().head()

# %% [markdown]
# ## A cause, without clean data
#
# The data that we have carry the flaw, if there is one; the test set too. What can be known from them?
# Whether there is **something small that makes anything a mushroom**. So cut out what a class's features
# react to, put it into pictures of other toys, and ask again. Two controls stand beside it: the same corner
# of other pictures, and another part of mushrooms. It is looked for in one half of the pictures, and counted
# in the other.

# %%
found = sdw.suspects(path, demo.model, demo.train)
found.to_frame()[["class", "verdict", "feature", "region", "flips", "low", "control", "elsewhere"]]

# %%
print(found.sentence())
print()
print("What it cannot see:", found.cannot_see)

# %% [markdown]
# Here is a picture, and the same picture with the part grafted in, that the network now takes for a mushroom.

# %%
import numpy as np
from PIL import Image

before, after = found.pictures[0].transpose(0, 2, 3, 1)
Image.fromarray((255 * np.hstack([before, after])).clip(0, 255).astype(np.uint8)).resize((384, 192))

# %% [markdown]
# ## Two repairs, measured
#
# *Silencing* every feature that carries the mark ends the false alarms. It also leaves the network without
# its only idea of a mushroom, so marked or not, mushrooms are lost: look at the worst group.
#
# *Fitting again* uses copies of the pictures in which a coin decides who gets the mark, whatever the toy is:
# data without the flaw, made from data that have it. Mushrooms with and without mark weigh alike.

# %%
found.repairs_frame()

# %% [markdown]
# ## Was it right?
#
# `demo.clean_test` is the shop, which neither search nor repair has seen.

# %%
import torch

pictures = torch.stack([picture for picture, _ in demo.clean_test])
labels = np.array([label for _, label in demo.clean_test])
mushroom = demo.class_names.index("mushroom")


def shop():
    """Share of the pictures that are right, and of the mushrooms that are found."""
    with torch.no_grad():
        predicted = torch.cat([demo.model(some).argmax(1) for some in pictures.split(250)]).numpy()
    right = predicted == labels
    return f"{right.mean():.1%} right, {right[labels == mushroom].mean():.1%} of the mushrooms found"


sparse = path.decision_layer(path.select())
carriers = [feature for feature, _ in found.carriers[0]]
print("the network as it was:", shop())
with sparse.silence(carriers).installed(demo.model):
    print("carriers silenced:    ", shop())
with found.refit_layer(path).installed(demo.model):
    print("fitted again:         ", shop())

# %% [markdown]
# The truth was never used. What was planted:

# %%
print(demo.truth.flaw)

# %% [markdown]
# ## Go on
#
# - `sdw.suspects(..., silence=carriers)`: is there anything else?
# - A network that you think is sound: `sdw.load_demo("digits")`. No verdict says that it is; what does it
#   say?
# - Your own: `sdw.debug(model, data)`. Pictures that are normalised need `normalize=`, sentences
#   `tokenizer=`, and with `groups=` (where a picture was taken, who wrote a text) it says who is treated
#   worst.
