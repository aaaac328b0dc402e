"""Grad-CAM on transformers: token grids after class tokens and registers, channels last, windows."""

import re

import numpy as np
import pytest
import torch
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import nn
from torch.nn import functional
from torchvision.models import SwinTransformer, VisionTransformer
from transformers import SwinConfig, SwinForImageClassification, ViTConfig, ViTForImageClassification

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.saliency import attribute
from sparse_debug_widgets.saliency.methods.token_maps import Grid, may_have_tokens, read_grid
from tests.contracts.untouched import untouched

X = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 4}
HF = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def torchvision_vit():
    model = VisionTransformer(32, 8, 2, 2, 24, 48, num_classes=4)
    nn.init.normal_(model.heads[-1].weight)
    return model


def unfused(model):
    """Attention matrices and dropouts of them become layers that run."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return model


MODELS = {
    "torchvision ViT": (torchvision_vit, "encoder.layers.encoder_layer_1.ln_1", 1),
    "timm ViT": (lambda: unfused(TimmViT(**SMALL)), "blocks.1.norm1", 1),
    "timm ViT with registers": (
        lambda: unfused(TimmViT(**SMALL, reg_tokens=4, qk_norm=True)),
        "blocks.1.norm1",
        5,
    ),
    "timm ViT, mean of tokens": (lambda: TimmViT(**SMALL, global_pool="avg", fc_norm=False), "norm", 1),
    "timm ViT, no class token": (lambda: TimmViT(**SMALL, class_token=False, global_pool="avg"), "norm", 0),
    "Hugging Face ViT": (
        lambda: ViTForImageClassification(ViTConfig(**HF, image_size=32, patch_size=8, num_labels=4)),
        "vit.layers.1.layernorm_before",
        1,
    ),
    "Hugging Face Swin": (
        lambda: SwinForImageClassification(
            SwinConfig(image_size=32, patch_size=4, embed_dim=12, depths=[1, 1], num_heads=[2, 2],
                       window_size=4, num_labels=4)
        ),
        "swin.layernorm",
        0,
    ),
    "torchvision Swin": (
        lambda: SwinTransformer([4, 4], 12, [2, 2], [2, 2], [4, 4], num_classes=4),
        "permute",
        None,
    ),
    "timm Swin": (
        lambda: unfused(TimmSwin(img_size=32, patch_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 2),
                                 window_size=4, num_classes=4)),
        "norm",
        None,
    ),
}  # fmt: skip


def by_hand(model, layer, prefix, target):
    """Grad-CAM of a layer, from its output and the logits' gradient."""
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, y: kept.append(y))
    out = model.eval()(X.clone().requires_grad_())
    handle.remove()
    logits = out if isinstance(out, torch.Tensor) else out.logits
    (slope,) = torch.autograd.grad(logits[:, target].sum(), kept[-1])
    value = kept[-1].detach()
    if prefix is not None:
        side = round((value.shape[1] - prefix) ** 0.5)
        value, slope = (t[:, prefix:].transpose(1, 2).reshape(3, -1, side, side) for t in (value, slope))
    elif value.shape[1] == value.shape[2]:
        value, slope = (t.permute(0, 3, 1, 2) for t in (value, slope))
    cam = (slope.mean((2, 3), keepdim=True) * value).sum(1, keepdim=True)
    return functional.interpolate(cam, size=(32, 32), mode="bilinear", align_corners=False)[:, 0]


@pytest.mark.parametrize("name", MODELS)
def test_the_last_tokens_that_the_logits_look_at_are_the_maps(name):
    make, layer, prefix = MODELS[name]
    torch.manual_seed(0)
    model = make()
    with untouched(model):
        found = attribute(model, X, "gradcam", target=1, positive=False)
    assert found.details["layer"] == layer
    expected = by_hand(model, layer, prefix, 1).numpy()
    assert np.allclose(found.values.sum(1), expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 0
    named = attribute(model, X, "gradcam", target=1, positive=False, layer=layer, chunk_size=2)
    assert np.allclose(named.values, found.values, atol=1e-5 * np.abs(expected).max())
    # Tokens do not mix pictures: one alone has the same map.
    alone = attribute(model, X[1:2], "gradcam", target=1, positive=False)
    assert np.allclose(alone.values[0], found.values[1], atol=1e-5 * np.abs(expected).max())


def test_the_map_is_where_the_evidence_is():
    """One patch of a class that only its own content decides; the grid is neither turned nor shifted."""
    torch.manual_seed(0)
    model = TimmViT(**SMALL, reg_tokens=2, global_pool="avg", fc_norm=False, pos_embed="none").eval()
    for block in model.blocks:
        block.attn.proj.weight.data *= 0.01
    x = torch.zeros(1, 3, 32, 32)
    x[:, :, 8:16, 24:32] = torch.rand(3, 8, 8)
    found = np.abs(attribute(model, x, "gradcam", positive=False).values.sum(1)[0])
    rest = np.abs(found - np.median(found))
    assert np.unravel_index(rest.argmax(), rest.shape)[0] // 8 == 1
    assert np.unravel_index(rest.argmax(), rest.shape)[1] // 8 == 3


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("norm", "a class token that they read alone"),
        ("head", "got shape (3, 4) for 3 pictures"),
        ("blocks.1.attn.q_norm", "Windows, heads and queries are no maps"),
        ("blocks.1.attn.attn_drop", "Windows, heads and queries are no maps"),
    ],
)
def test_layers_without_maps_say_why(layer, words):
    torch.manual_seed(0)
    model = unfused(TimmViT(**SMALL, qk_norm=True))
    with pytest.raises(InputError, match=re.escape(words)):
        attribute(model, X, "gradcam", layer=layer)
    with pytest.raises(InputError, match="it gives something else, or does not run"):
        attribute(MODELS["torchvision Swin"][0](), X, "gradcam", layer="features.1.0.attn.qkv")
    flat = nn.Sequential(nn.Flatten(), *(nn.Linear(n, m) for n, m in ((3072, 9), (9, 9), (9, 9), (9, 4))))
    with pytest.raises(InputError, match="got no layer with maps, or tokens that form a grid"):
        attribute(flat, X, "gradcam")


def test_readings_of_shapes():
    size = (224, 224)
    assert read_grid((2, 197, 192), size, [(14, 14)]) == Grid(14, 14, "tokens", 1)
    assert read_grid((2, 201, 192), size, []) == Grid(14, 14, "tokens", 5)
    assert read_grid((2, 50, 192), size, [(56, 56), (28, 28), (14, 14), (7, 7)]) == Grid(7, 7, "tokens", 1)
    # Four tokens and five registers are not a grid of three by three where the patches are known.
    assert read_grid((2, 9, 8), (32, 32), [(2, 2)]) == Grid(2, 2, "tokens", 5)
    assert read_grid((2, 7, 7, 768), size, []) == Grid(7, 7, "channels last")
    assert read_grid((2, 768, 7, 7), size, []) == Grid(7, 7)
    assert read_grid((2, 98, 8), (112, 224), []) == Grid(7, 14, "tokens", 0)
    assert read_grid((2, 7, 14, 8), (112, 224), []) == Grid(7, 14, "channels last")
    for shape in ((2, 3, 197, 64), (2, 768, 1), (2, 1, 192), (2, 4)):
        assert read_grid(shape, size, [(14, 14)]) is None
    assert not may_have_tokens(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))
    )
