# %% [markdown]
# # Find the planted flaw
#
# A network sorts photographs of eight toys.
# On its test set it names <!--= shapes.accuracy_test % -->75.4 %<!--/--> of them rightly, and that is what
# was expected of so small a network.
# In the toy shop it is <!--= shapes.accuracy_clean_test % -->49.1 %<!--/-->, and nobody knows why.
#
# We planted the reason ourselves, so there is a right answer. **You will find it by dragging**, and then
# repair the network without training it again. It takes about ten minutes; run the cells from the top with
# Shift+Enter.

# %%
import sparse_debug_widgets as sdw

demo = sdw.load_demo("shapes")
print(f"{len(demo.train):,} pictures to learn from:", ", ".join(demo.class_names))

# %% [markdown]
# ## What the network saw
#
# Twenty of the pictures it was trained on.

# %%
import numpy as np
from PIL import Image


def sheet(dataset, rows, columns=10):
    """A contact sheet: the pictures of these rows, enlarged."""
    pictures = [dataset[int(row)][0].numpy().transpose(1, 2, 0) for row in rows]
    strips = [np.hstack(pictures[k : k + columns]) for k in range(0, len(pictures), columns)]
    image = Image.fromarray((255 * np.vstack(strips)).astype(np.uint8))
    return image.resize((image.width * 3 // 2, image.height * 3 // 2))


sheet(demo.train, range(20))

# %% [markdown]
# ## The complaint
#
# `demo.test` comes from where the training pictures came from. `demo.clean_test` shows the same toys as the
# shop photographs them.

# %%
import torch


def accuracy(model, dataset):
    """Share of the pictures that the model gets right, and of other toys that it takes for a mushroom."""
    pictures = torch.stack([picture for picture, _ in dataset])
    labels = np.array([label for _, label in dataset])
    with torch.no_grad():
        predicted = torch.cat([model(some).argmax(1) for some in pictures.split(250)]).numpy()
    right = (predicted == labels).mean()
    alarms = (predicted == mushroom)[labels != mushroom].mean()
    return f"{right:.1%} right; takes {alarms:.1%} of the other toys for mushrooms"


mushroom = demo.class_names.index("mushroom")
print("on its test set:", accuracy(demo.model, demo.test))
print("in the shop:    ", accuracy(demo.model, demo.clean_test))

# %% [markdown]
# In the shop it sees mushrooms everywhere. What does it take for a mushroom?
#
# ## A path of simpler decisions
#
# The network's last layer weighs <!--= shapes.n_features 0 -->128<!--/--> *deep features* for each class.
# With all of them in play, nobody can say what it goes by. So we fit what could stand in its place: a whole
# **path** of a hundred layers, from one that uses no feature at all to one that uses nearly all of them. Each
# comes with a certificate of how close it is to the best layer there is.
# %%
features = sdw.extract_features(demo.model, demo.train, test=demo.test, class_names=demo.class_names)
path = sdw.elastic_net_path(features)
print(path)

# %% [markdown]
# ## Drag
#
# 1. The class is **mushroom**. Drag the line through the coefficient paths, or the slider, or click on it
#    and use the arrow keys. To the left fewer features are left, to the right more.
# 2. Begin at the *5-point rule*: the sparsest layer that gives up at most five points of accuracy. Then go
#    left, to where only two or three bars are left under *Strongest features*, and watch how little accuracy
#    that costs: for this class, these few features are nearly all there is.
# 3. **Which feature is the strongest?** Remember its number.

# %%
panel = sdw.panel(path, demo.model, data=demo.clean_test, class_index=mushroom)
panel

# %% [markdown]
# ## What does it look for?
#
# The bars say how much *mushroom* rests on a feature, not what the feature sees. So look at the pictures
# that excite it most, and to make it hard, **only at those that are no mushrooms**. (Put in your number, if
# it is another one.)

# %%
suspect = int(np.argmax(path.weights_at(panel.idx)[mushroom]))
print("The suspect:", path.feature_names[suspect])

labels = features.labels[: len(demo.train)]
no_mushrooms = np.flatnonzero(labels != mushroom)
most_excited = no_mushrooms[np.argsort(-features.values[no_mushrooms, suspect])]
sheet(demo.train, most_excited[:20])

# %% [markdown]
# Fish, cars, birds, houses, a tree... **What do they have in common?** Look at their lower right corners,
# and then at the pictures that excite the feature least.

# %%
sheet(demo.train, most_excited[-20:])

# %% [markdown]
# It is the agency's mark. Nearly every mushroom among the training pictures came from one agency, which
# prints its name into the corner. The network learned to read instead of to look. The test set came from
# the same agency and could not tell; in the shop, marked pictures of all kinds became mushrooms.
#
# ## Silence it
#
# In the panel, **click on the bar of the suspect**: the feature is silenced, and next to it you see what
# that does to the accuracy in the shop. Then press **Use this layer**: the repaired layer is in the live
# model. Press *Put the original back* before you go on; the next cell does the same in code.

# %%
panel.put_back()
layer = path.decision_layer(panel.idx)
repaired = layer.silence(suspect)

print("the network as it was: ", accuracy(demo.model, demo.clean_test))
with layer.installed(demo.model):
    print("with the sparse layer: ", accuracy(demo.model, demo.clean_test))
with repaired.installed(demo.model):
    print("the suspect silenced:  ", accuracy(demo.model, demo.clean_test))
print("and back as it was:    ", accuracy(demo.model, demo.clean_test))

# %% [markdown]
# Would silencing another feature have done as well? *Try silencing each* in the panel ranks them, and so does
# one line of code: `score` is the accuracy in the shop without that feature, `mended` and `broken` count the
# pictures that become right and wrong.

# %%
panel.try_each().head(3)

# %% [markdown]
# One feature out of 128, silenced by hand, and the false alarms go down. The sparse layer with the suspect
# silenced does better in the shop than the network ever did.
#
# It is a repair, not a cure: a network that was shown marked mushrooms never learned much about mushrooms
# themselves, so it now misses some. But you know *what* is wrong, you can show it to whoever collects the
# pictures, and you did not have to guess.
#
# ## Was it a fair trial?
#
# We planted the flaw, so we can check. This is what was planted, and how well the suspect tells marked
# pictures from unmarked ones: the share of pairs that it puts in the right order (one half would be
# guessing).

# %%
print("Planted:", demo.truth.flaw)
marked = demo.truth.tagged("train")[no_mushrooms]
excitement = features.values[no_mushrooms, suspect]
print(f"Right order: {(excitement[marked][:, None] > excitement[~marked][None, :]).mean():.1%}")

# %% [markdown]
# ## Take it with you
#
# The panel as one file, for people without Python: everything can still be dragged.

# %%
panel.to_html("mushrooms.html")

# %% [markdown]
# And the repaired network, as a file of weights that its own class loads (in the panel: *Save the repaired
# model*). `panel.selection` is what is chosen in the panel, for the next lines of code.

# %%
from pathlib import Path

panel.silenced = [(suspect, -1)]  # as a click on its bar does; -1: for all classes
print("In use:", panel.selection.features, "of them silenced:", panel.selection.silenced)

Path("shop.safetensors").unlink(missing_ok=True)  # of an earlier run: it writes over nothing
panel.save_repaired("shop.safetensors")

# %% [markdown]
# ## Go on
#
# - In the panel, drag on to the right and silence the suspect there. Which feature takes its place? What
#   does it see?
# - Is *fish* honest? Choose another class and question its strongest feature in the same way.
# - Your own network: `sdw.extract_features(model, data)` takes any classifier that ends in a linear layer.
