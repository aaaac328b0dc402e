"""Architectures as people have them: of torchvision, timm and Hugging Face, with random weights.

Small where a configuration allows it: what is tried here is the shape of a model, not its size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

N_CLASSES = 3
WORDS = (
    ("refund", "invoice", "charged twice", "payment"),
    ("password", "login", "account locked", "reset"),
    ("parcel", "delivery", "arrived broken", "courier"),
)
"""What sentences of each class are about."""
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Architecture:
    """One entry of the zoo.

    Attributes:
        build: Makes the model.
        kind: "pictures", "tokens" or "series".
        shape: Of one input; of tokens none.
    """

    build: Build
    kind: str
    shape: tuple[int, ...] = ()

    def model(self) -> nn.Module:
        """The model, in evaluation mode, the same every time."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            made = self.build().eval()
            _settle(made, self)
            return made


def _settle(model: nn.Module, architecture: Architecture) -> None:
    """Let a model with random weights be one whose answers differ from input to input, as trained ones do.

    Heads that are initialised with zeros get weights, and batch norms the moments of what runs through them.
    A model that has run once has also done what its library does on the first call.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear) and not bool(module.weight.any()):
            nn.init.normal_(module.weight, std=0.1)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
            module.momentum = 1.0
    with torch.no_grad():
        if architecture.kind == "tokens":
            model(**tokenizer()(["refund payment", "login"], padding=True, return_tensors="pt"))
        else:
            model(torch.rand(8, *architecture.shape))
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.momentum = 0.1


ZOO: dict[str, Architecture] = {}


def _pictures(name: str, build: Build, side: int = 32) -> None:
    assert name not in ZOO, name
    ZOO[name] = Architecture(build, "pictures", (3, side, side))


# -- torchvision -----------------------------------------------------------------------------------------


def _torchvision(name: str, side: int = 32, **options: Any) -> None:
    def build() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, num_classes=N_CLASSES, **options)

    _pictures(f"torchvision {name}", build, side)


_torchvision("alexnet", 64)
_torchvision("resnet18")
_torchvision("densenet121")
_torchvision("squeezenet1_1")
_torchvision("mobilenet_v2")
_torchvision("mobilenet_v3_small")
_torchvision("efficientnet_b0")
_torchvision("shufflenet_v2_x0_5")
_torchvision("mnasnet0_5")
_torchvision("regnet_y_400mf")
_torchvision("googlenet", init_weights=False)
_torchvision("convnext_tiny")
_torchvision("lraspp_mobilenet_v3_large", weights_backbone=None)


def _small_torchvision(name: str, **options: Any) -> None:
    def build() -> nn.Module:
        from torchvision import models

        return getattr(models, name)(num_classes=N_CLASSES, **options)

    _pictures(f"torchvision {name}", build)


_small_torchvision(
    "VisionTransformer", image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
)
_small_torchvision(
    "SwinTransformer", patch_size=[4, 4], embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=[4, 4]
)

# -- timm ------------------------------------------------------------------------------------------------


def _timm(name: str, side: int = 32, **options: Any) -> None:
    def build() -> nn.Module:
        import timm

        made: nn.Module = timm.create_model(name, pretrained=False, num_classes=N_CLASSES, **options)
        return made

    _pictures(f"timm {name}", build, side)


_timm("resnet10t")
_timm("skresnet18")
_timm("lcnet_035")
_timm("ghostnet_100")
_timm("mobilenetv4_conv_small_035")
_timm("mobileone_s0")
_timm("repvgg_a0")
_timm("tinynet_e")
_timm("ese_vovnet19b_slim_dw")
_timm("nf_regnet_b0")
_timm("convnextv2_atto")
_timm("edgenext_xx_small", 64)
_timm("fastvit_t8", 64)
_timm("mobilevit_xxs", 64)
_timm("poolformer_s12", 64)
_timm("starnet_s050", 64)
_timm("vit_tiny_patch16_224", img_size=32, depth=2)
_timm("vit_base_patch16_siglip_224", img_size=32, depth=1, embed_dim=16, num_heads=2)
_timm("deit_tiny_distilled_patch16_224", img_size=32, depth=2)
_timm("vit_small_patch14_reg4_dinov2", img_size=28, side=28, depth=1, embed_dim=16, num_heads=2)
_timm("eva02_tiny_patch14_224", img_size=28, side=28, depth=1)
_timm("cait_xxs24_224", img_size=32, depth=1)
_timm("xcit_nano_12_p16_224", img_size=32, depth=2)
_timm("levit_128s", 64, img_size=64)
_timm(
    "swin_tiny_patch4_window7_224",
    32,
    img_size=32,
    embed_dim=16,
    depths=(1, 1),
    num_heads=(1, 2),
    window_size=4,
)
_timm("mixer_s32_224", img_size=32)
_timm("pvt_v2_b0")

# -- Hugging Face ----------------------------------------------------------------------------------------


@cache
def tokenizer() -> Any:
    """A tokenizer of Hugging Face's kind, without a download: one number for each word."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    pad, unknown, end = "[PAD]", "[UNK]", "[EOS]"
    words = [pad, unknown, end, *sorted({word for text in WORDS for part in text for word in part.split()})]
    made = Tokenizer(WordLevel({word: k for k, word in enumerate(words)}, unk_token=unknown))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=pad, unk_token=unknown, eos_token=end, model_max_length=64
    )


_TOKENS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


def _hugging_face(
    name: str, config: str, kind: str = "tokens", shape: tuple[int, ...] = (), **options: Any
) -> None:
    def build() -> nn.Module:
        import transformers

        given = dict(options)
        if kind == "tokens":
            given |= {"vocab_size": len(tokenizer()), "bos_token_id": None, "eos_token_id": 2}
        settings = getattr(transformers, config)(num_labels=N_CLASSES, **given)
        made: nn.Module = getattr(transformers, name)(settings)
        return made

    ZOO[f"transformers {name}"] = Architecture(build, kind, shape)


_SEQUENCE = "ForSequenceClassification"
_hugging_face(f"Bert{_SEQUENCE}", "BertConfig", **_TOKENS)
_hugging_face(f"Roberta{_SEQUENCE}", "RobertaConfig", **_TOKENS)
_hugging_face(f"Electra{_SEQUENCE}", "ElectraConfig", embedding_size=16, **_TOKENS)
_hugging_face(f"DebertaV2{_SEQUENCE}", "DebertaV2Config", **_TOKENS)
_hugging_face(f"ModernBert{_SEQUENCE}", "ModernBertConfig", **_TOKENS)
_hugging_face(
    f"DistilBert{_SEQUENCE}",
    "DistilBertConfig",
    dim=16,
    n_layers=2,
    n_heads=2,
    hidden_dim=32,
    max_position_embeddings=64,
)
_hugging_face(
    f"GPT2{_SEQUENCE}", "GPT2Config", n_embd=16, n_layer=2, n_head=2, n_positions=64, pad_token_id=0
)
_hugging_face(f"Llama{_SEQUENCE}", "LlamaConfig", **_TOKENS)
_hugging_face(
    f"T5{_SEQUENCE}",
    "T5Config",
    d_model=16,
    d_kv=8,
    d_ff=32,
    num_layers=1,
    num_heads=2,
    pad_token_id=0,
    decoder_start_token_id=0,
)

_IMAGE = "ForImageClassification"
_VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
_SQUARE = {"kind": "pictures", "shape": (3, 32, 32)}
_hugging_face(f"ViT{_IMAGE}", "ViTConfig", **_SQUARE, **_VISION)
_hugging_face(f"DeiT{_IMAGE}", "DeiTConfig", **_SQUARE, **_VISION)
_hugging_face(f"Beit{_IMAGE}", "BeitConfig", **_SQUARE, **_VISION)
_hugging_face(f"Dinov2{_IMAGE}", "Dinov2Config", **_SQUARE, **_VISION)
_hugging_face(
    f"Swin{_IMAGE}",
    "SwinConfig",
    **_SQUARE,
    image_size=32,
    embed_dim=16,
    depths=[1, 1],
    num_heads=[2, 2],
    window_size=4,
)
_hugging_face(
    f"ResNet{_IMAGE}", "ResNetConfig", **_SQUARE, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]
)
_hugging_face(
    f"ConvNext{_IMAGE}", "ConvNextConfig", **_SQUARE, hidden_sizes=[8, 16], depths=[1, 1], num_stages=2
)
_hugging_face(
    f"Wav2Vec2{_SEQUENCE}",
    "Wav2Vec2Config",
    kind="series",
    shape=(400,),
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    conv_dim=(8, 8),
    conv_stride=(5, 4),
    conv_kernel=(10, 8),
    num_feat_extract_layers=2,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=2,
    classifier_proj_size=8,
)
