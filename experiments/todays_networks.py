"""A vision transformer and a ConvNeXt with random weights, for `experiments.method_table`.

    python -m experiments.method_table experiments.todays_networks:vit_s_16 --side 64 --limit 1
    python -m experiments.method_table experiments.todays_networks:convnext_tiny --side 64 --limit 1

torchvision's initialisation would leave nothing to measure: a transformer's head is zero, so that no
relevance enters, and a ConvNeXt's layer scales are 1e-6, so that its blocks are identities. Here the head is
drawn as other dense layers are, and layer scales are drawn uniformly from [0, 1].
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlock

SIDE, CLASSES, SEED = 64, 24, 0


def vit_s_16() -> nn.Module:
    """ViT-S/16: 12 blocks of 6 heads on 384 channels, 16 patches of 16 x 16 and a class token."""
    torch.manual_seed(SEED)
    model = models.VisionTransformer(SIDE, 16, 12, 6, 384, 1536, num_classes=CLASSES)
    nn.init.trunc_normal_(model.heads.head.weight, std=0.02)
    return model.eval()


def convnext_tiny() -> nn.Module:
    """ConvNeXt-Tiny: 18 blocks on 96 to 768 channels, 16 x 16 locations to 2 x 2."""
    torch.manual_seed(SEED)
    model = models.convnext_tiny(num_classes=CLASSES)
    for module in model.modules():
        if isinstance(module, CNBlock):
            nn.init.uniform_(module.layer_scale)
    return model.eval()
