# %% [markdown]
# # What a text classifier listens to
#
# A network sorts what customers write into four departments.
# On its test set it sorts <!--= tickets.accuracy_test % -->81.0 %<!--/--> of them rightly, as was expected.
# Since last month, people in *returns* complain: they get half of everybody's mail.
#
# We planted the reason ourselves, so there is a right answer. You find it by looking at **which words move
# the features that decide**, and repair the network without training it again. It takes about five
# minutes; run the cells from the top with Shift+Enter.

# %%
import sparse_debug_widgets as sdw

demo = sdw.load_demo("tickets")
for sentence, label in [demo.train[row] for row in range(6)]:
    print(f"{demo.class_names[label]:>10}: {sentence}")

# %% [markdown]
# ## The complaint
#
# `demo.test` was collected together with the training messages. `demo.clean_test` is what comes in today.

# %%
import numpy as np
import torch


def accuracy(model, data):
    """Share of the messages sorted rightly, of others that land in returns, and of returns that are found."""
    ids = data.tokenizer.tensor(data.sentences)
    with torch.no_grad():
        predicted = model(ids).argmax(1).numpy()
    right = (predicted == data.labels).mean()
    strays = (predicted == returns)[data.labels != returns].mean()
    found = (predicted == returns)[data.labels == returns].mean()
    return f"{right:.1%} right; returns get {strays:.1%} of all others' mail and {found:.1%} of their own"


returns = demo.class_names.index("returns")
print("on its test set:", accuracy(demo.model, demo.test))
print("today:          ", accuracy(demo.model, demo.clean_test))

# %% [markdown]
# ## A path of simpler decisions
#
# The last layer weighs 32 deep features. A path of sparse layers shows which of them a department really
# needs. The data sets carry their tokenizer; for your own model you would write
# `sdw.extract_features(model, (sentences, labels), tokenizer=tokenizer)`.

# %%
features = sdw.extract_features(demo.model, demo.train, test=demo.test)
path = sdw.elastic_net_path(features)
index = path.select(tolerance=0.01)
weights = path.weights_at(index)
print(path)
for number, name in enumerate(demo.class_names):
    used = np.flatnonzero(weights[number])
    strongest = used[np.argsort(-np.abs(weights[number, used]))]
    print(f"{name:>10}:", ", ".join(f"feature {j} ({weights[number, j]:+.2f})" for j in strongest))

# %% [markdown]
# ## Which words move them?
#
# Numbers say how much a department rests on a feature, not what the feature listens to. So we take
# messages that the network has never seen, remove words from them at random, and see how each feature
# answers (LIME, for all features at once). The mean effect of a word over all messages that contain it
# makes the word clouds.

# %%
unseen = demo.clean_test.sentences[:120]
used = np.flatnonzero((weights != 0).any(0))
explained = sdw.lime_text(
    demo.model, unseen, features, tokenizer=demo.test.tokenizer, features=used, n_samples=300
)
clouds = sdw.word_clouds(explained, min_count=3)
clouds

# %% [markdown]
# First an honest department: the strongest feature of *delivery*. An old address, what arrived or never did,
# in how many days: words that a parcel is complained about with.

# %%
delivery = demo.class_names.index("delivery")
clouds.plot(int(np.argmax(weights[delivery])))

# %% [markdown]
# And now the strongest feature of *returns*. **What do you expect to see?** Sizes, labels, shoes,
# exchanging a gift?

# %%
suspect = int(np.argmax(weights[returns]))
clouds.plot(suspect)

# %% [markdown]
# There is hardly a word about returns. The largest is no word about anything: it is the make of a
# telephone, whose mail program signs every message with "sent from my fonar". The table has the
# numbers: mean effect in standard deviations of the feature, its 95 % interval, and in how many messages
# the word occurs.

# %%
clouds.table(suspect).head(6).round(2)

# %% [markdown]
# One message in detail: which of its words move this feature?

# %%
signed = next(k for k, sentence in enumerate(unseen) if "fonar" in sentence)
explained.plot(signed, feature=suspect, n_words=8)

# %% [markdown]
# ## Silence it
#
# Every feature of *returns* whose loudest word is that make of telephone is silenced: held at its mean.

# %%
deaf = [
    int(j)
    for j in np.flatnonzero(weights[returns] > 0)
    if clouds.cloud(int(j)) and clouds.cloud(int(j))[0][0] == "fonar"
]
layer = path.decision_layer(index)
repaired = layer
for feature in deaf:
    repaired = repaired.silence(feature)

print("silenced:", ", ".join(f"feature {j}" for j in deaf))
print("the network as it was:", accuracy(demo.model, demo.clean_test))
with layer.installed(demo.model):
    print("with the sparse layer:", accuracy(demo.model, demo.clean_test))
with repaired.installed(demo.model):
    print("repaired:             ", accuracy(demo.model, demo.clean_test))
print("and back as it was:   ", accuracy(demo.model, demo.clean_test))

# %% [markdown]
# It is a repair, not a cure. The last column says what the test set never told: a network that could go by
# the signature learned next to nothing about returns themselves, so without it nothing is sent there. But
# nobody else's mail is lost any more, and you know what to tell whoever collects the messages: training
# has to be repeated without signatures.
#
# ## Was it a fair trial?

# %%
print("Planted:", demo.truth.flaw)

# %% [markdown]
# ## Go on
#
# - Look at the words that *lower* the suspect: `clouds.cloud(suspect, "negative")`. Why these?
# - A Hugging Face classifier: `sdw.extract_features(model, (sentences, labels), tokenizer=tokenizer)`. An
#   encoder without a head: add `pooling="mean"`, `"cls"` or `"pooled"`.
