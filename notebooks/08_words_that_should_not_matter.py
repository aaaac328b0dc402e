# %% [markdown]
# # Words that should not matter
#
# A network sorts what customers write into four departments, and *returns* gets half of everybody's mail. In
# notebook 04 you found the reason by looking at words one by one. Here the search does it **by itself, on
# the messages that carry the flaw**, and then you ask the question that an auditor would ask: which phrases
# change the answer, although they should not matter? It takes three minutes.

# %%
import sparse_debug_widgets as sdw

demo = sdw.load_demo("tickets")

# %% [markdown]
# ## One call
#
# The data sets carry their tokenizer; for your own model it is `sdw.debug(model, (sentences, labels),
# tokenizer=tokenizer)`. Small causes come with a message before and after.

# %%
workbench = sdw.debug(demo.model, demo.train, test=demo.test)
workbench

# %%
features = sdw.extract_features(demo.model, demo.train, test=demo.test, class_names=demo.class_names)
path = sdw.elastic_net_path(features)
found = sdw.suspects(path, demo.model, demo.train)
print(found.sentence())
before, after = found.sentences[0]
print("\nbefore:", before)
print("after: ", after)

# %% [markdown]
# ## Is it the phrase, or one of its words?
#
# Put phrases into messages of *today* that the network gets right, and count the answers that change. Beside
# each: as many random words. A single word does much less than the phrase here.

# %%
phrases = ["sent from my fonar", "from my fonar", "fonar", "sent from my tablet", "thank you", "banana"]
probe = sdw.bias_probe(demo.model, path, demo.clean_test, phrases, target="returns")
table = probe.to_frame().set_index(["phrase", "layer"])
table[["sentences", "flipped", "low", "high", "random_words", "p_value"]].round(3)

# %%
probe.plot()

# %% [markdown]
# ## Which errors does it explain?
#
# The problematic feature of each error, and the errors that end when it is silenced.

# %%
errors = sdw.misclassification(path, features)
errors.features().head()

# %% [markdown]
# ## Repair it, and look at the worst-treated
#
# Silencing what carries the phrase ends the strays, and loses the department: its own mail is not found
# any more. Fitted again on messages in which a coin decides who gets the phrase, the layer finds it.

# %%
found.repairs_frame()

# %%
import torch


def today():
    """Share of today's messages sorted rightly, and of the mail for returns that is found."""
    ids = demo.clean_test.tokenizer.tensor(demo.clean_test.sentences)
    with torch.no_grad():
        right = demo.model(ids).argmax(1).numpy() == demo.clean_test.labels
    own = demo.clean_test.labels == demo.class_names.index("returns")
    return f"{right.mean():.1%} right, {right[own].mean():.1%} of returns' own mail found"


carriers = [feature for feature, _ in found.carriers[0]]
print("the network as it was:", today())
with path.decision_layer(path.select()).silence(carriers).installed(demo.model):
    print("carriers silenced:    ", today())
with found.refit_layer(path).installed(demo.model):
    print("fitted again:         ", today())

# %% [markdown]
# The truth was never used. What was planted:

# %%
print(demo.truth.flaw)

# %% [markdown]
# ## Go on
#
# - Probe for names, places, dialects: `phrases` may be anything that you do not want to matter.
# - Is anything left? `sdw.suspects(..., silence=carriers)`.
# - Your own model: any text classifier that ends in a linear layer, Hugging Face's too.
