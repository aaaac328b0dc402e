"""find_decision_layer: the layer that really decides, in models of every make, and clear errors else."""

import re
import warnings

import pytest
import torch
import torchvision
from torch import nn

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.sparse import find_decision_layer
from sparse_debug_widgets.sparse.layer.decision_layer import SparseDecisionLayer
from sparse_debug_widgets.sparse.layer.find_layer import trace_decision_layer
from tests.contracts.untouched import disturb, untouched
from tests.sparse.models import TextClassifier, image_data, net

X, _ = image_data(4)
IDS = {"input_ids": torch.arange(12).reshape(3, 4), "attention_mask": torch.ones(3, 4, dtype=torch.long)}

TORCHVISION = {
    "resnet18": "fc",
    "vgg11": "classifier.6",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "densenet121": "classifier",
    "shufflenet_v2_x0_5": "fc",
    "vit": "heads.head",
}


def torchvision_model(name):
    if name == "vit":
        sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
        model = torchvision.models.VisionTransformer(image_size=32, patch_size=8, num_classes=4, **sizes)
        nn.init.normal_(model.heads.head.weight)
        return model
    with torch.device(
        "meta"
    ):  # the layers' own initialisation of VGG takes longer than the rest of this file
        model = getattr(torchvision.models, name)(num_classes=4)
    model.to_empty(device="cpu").load_state_dict(
        {k: torch.ones_like(v) for k, v in model.state_dict().items()}
    )
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.mul_(0.01 + 0.001 * k)
    return model


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_classifiers(name):
    model = torchvision_model(name)
    example = torch.rand(2, 3, 32, 32)
    with untouched(model):
        found, layer = find_decision_layer(model, example=example)
    assert found == TORCHVISION[name]
    assert layer is model.get_submodule(found)
    assert find_decision_layer(model) == (found, layer)


def test_squeezenet_has_no_linear_layer():
    model = torchvision.models.squeezenet1_1(num_classes=4)
    examples = None, torch.rand(2, 3, 32, 32)
    for example in examples:
        with (
            untouched(model),
            pytest.raises(InputError, match=r"end in an nn\.Linear; got no linear layer at all"),
        ):
            find_decision_layer(model, example=example)


def test_functional_pooling_flatten_and_dropout_are_looked_through():
    model = disturb(net())
    with untouched(model):
        assert find_decision_layer(model, example=X) == ("fc", model.fc)


class Timm(nn.Module):
    """Features, pooling in ``forward``, a layer called ``classifier``, and an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(6, 3)  # registered first, runs last
        self.blocks = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Flatten(2))
        self.aux = nn.Linear(6, 3)  # registered last, never decides
        self.head_drop = nn.Dropout(0.3)

    def forward(self, x):
        x = self.blocks(x).mean(2)
        self.aux(x)
        return self.classifier(self.head_drop(x))


def test_registration_order_and_auxiliary_heads_do_not_mislead():
    model = Timm()
    assert find_decision_layer(model, example=X) == ("classifier", model.classifier)


def test_hugging_face_like_outputs_and_keyword_inputs():
    model = TextClassifier()
    with untouched(model):
        assert find_decision_layer(model, example=IDS)[0] == "out_proj"
    with pytest.raises(InputError, match="have only keys out of input_ids, attention_mask"):
        find_decision_layer(model, example={**IDS, "token_type_ids": IDS["input_ids"]})


@pytest.mark.parametrize(
    ("head", "classes", "note"),
    [
        (nn.Softmax(1), 3, "softmax"),
        (nn.LogSoftmax(1), 3, "log_softmax"),
        (nn.Sigmoid(), 1, "sigmoid"),
        (nn.Sigmoid(), 3, "sigmoid"),
        (nn.LogSigmoid(), 1, "logsigmoid"),
        (lambda z: z.squeeze(1), 1, ""),
        (lambda z: {"logits": z}, 3, ""),
        (lambda z: (z, None), 3, ""),
        (lambda z: z.clone().relu_(), 3, None),
    ],
)
def test_what_follows_the_layer(head, classes, note):
    model = net(classes=classes, head=head)
    if note is None:
        with pytest.raises(InputError, match=r"that no linear layer gives \(the last one that ran is 'fc'"):
            trace_decision_layer(model, X)
        named = trace_decision_layer(model, X, "fc")
        assert named.note == "the model's output is not the output of 'fc'"
        return
    found = trace_decision_layer(model, X)
    assert found.name == "fc"
    assert found.note == (f"the model applies {note} to the logits of 'fc'" if note else "")
    assert trace_decision_layer(model, X, "fc").note == found.note


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    model = net(head=nn.Softmax(1)).to(dtype)
    assert find_decision_layer(model, example=X.to(dtype))[0] == "fc"


def test_compiled_and_parallel_models():
    model = net()
    compiled = torch.compile(model, backend="eager")
    assert find_decision_layer(compiled, example=X) == ("fc", model.fc)
    assert find_decision_layer(nn.DataParallel(model), "fc") == ("fc", model.fc)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x):
        return self.fc(self.fc(x.flatten(1)).relu())


class Cosine(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x / x.norm(dim=1, keepdim=True), self.weight)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        return nn.functional.linear(x.flatten(1), self.fc.weight, self.fc.bias)


@pytest.mark.parametrize(
    ("model", "layer", "message"),
    [
        (Twice(), None, "runs 2 times in a forward pass; a decision layer must run once"),
        (Twice(), "fc", "runs 2 times in a forward pass; a decision layer must run once"),
        (nn.Sequential(nn.Flatten(), Cosine(64, 3)), None, "this Cosine has a forward of its own, or a hook"),
        (nn.Sequential(nn.Flatten(), Cosine(64, 3)), "1", "this Cosine has a forward of its own, or a hook"),
        (Unused(), None, "linear layers that do not run as modules"),
        (Unused(), "fc", "Layer 'fc' did not run in the forward pass"),
        (
            nn.Sequential(nn.Linear(8, 3)),
            None,
            "get one vector per example, shape (4, 8); got shape (4, 1, 8, 8)",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Linear(3, 3), nn.Tanh()),
            None,
            "the last one that ran is '2'",
        ),
        (net(), "fd", "Did you mean 'fc'?"),
        (net(), "conv", "Layer 'conv' is a Conv2d, and a decision layer must be an nn.Linear"),
        (nn.Linear, None, "got a class, not an instance of it"),
        ({"fc.weight": X}, None, "Load the state dict into a model first"),
    ],
)
def test_models_without_a_decision_layer_say_what_to_do(model, layer, message):
    if isinstance(model, nn.Module):
        with untouched(model), pytest.raises(InputError, match=re.escape(message)):
            find_decision_layer(model, layer, X)
    else:
        with pytest.raises(InputError, match=re.escape(message)):
            find_decision_layer(model, layer, X)


def test_a_layer_per_token_is_explained():
    model = TextClassifier(per_token=True)
    with pytest.raises(InputError, match=r"no linear layer gives \(the last one that ran is 'out_proj'"):
        find_decision_layer(model, example=IDS)
    with pytest.raises(InputError, match="applied to every token or position: pool before it"):
        find_decision_layer(model, "out_proj", IDS)


def test_names_without_an_example():
    model = net()
    assert find_decision_layer(model, "hidden") == ("hidden", model.hidden)
    assert find_decision_layer(model) == ("fc", model.fc)
    with pytest.raises(InputError, match="Did you mean 'hidden'"):
        find_decision_layer(model, "hiden")


def test_scripted_models_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, but people still bring such models
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), X)
    with pytest.raises(InputError, match=r"Pass the nn\.Module that it was made from"):
        find_decision_layer(traced, example=X)


def test_an_installed_sparse_layer_is_named():
    model = net()
    sparse = SparseDecisionLayer.from_standardized(
        torch.ones(3, 5).numpy(), [0, 0, 0], [0] * 5, [1] * 5, [*"abcde"], [*"xyz"], "fc"
    )
    with sparse.installed(model):
        for layer in (None, "fc"):
            with pytest.raises(InputError, match=r"still installed\. Call restore"):
                find_decision_layer(model, layer, X)


def test_untouched_when_the_model_fails():
    model, wrong = disturb(net()), torch.rand(2, 3, 8, 8)
    with untouched(model), pytest.raises(InputError, match="and these have 3"):
        find_decision_layer(model, example=wrong)
