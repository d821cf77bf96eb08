"""The networks that come with the program, by name. Reading this list loads no torch; building an entry does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """One built-in network."""

    name: str
    build: Callable[[], nn.Module]
    """Makes the module, its weights not yet drawn."""
    input_shape: tuple[int, ...]
    """Shape of the one input, without the batch."""
    description: str


def _alexnet() -> nn.Module:
    from offload.models.zoo.alexnet import AlexNet

    return AlexNet()


def _resnet18() -> nn.Module:
    from offload.models.zoo.resnet import resnet18

    return resnet18()


def _resnet50() -> nn.Module:
    from offload.models.zoo.resnet import resnet50

    return resnet50()


def _mobilenet_v2() -> nn.Module:
    from offload.models.zoo.mobilenet import MobileNetV2

    return MobileNetV2()


def _unet() -> nn.Module:
    from offload.models.zoo.unet import UNet

    return UNet()


CATALOGUE: Mapping[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry(
            name="alexnet",
            build=_alexnet,
            input_shape=(3, 227, 227),
            description="AlexNet as in Caffe and Neurosurgeon: grouped convolutions, LRN, 61.0 M parameters",
        ),
        ZooEntry(
            name="resnet18",
            build=_resnet18,
            input_shape=(3, 224, 224),
            description="ResNet-18, 11.7 M parameters",
        ),
        ZooEntry(
            name="resnet50",
            build=_resnet50,
            input_shape=(3, 224, 224),
            description="ResNet-50 (v1.5), 25.6 M parameters",
        ),
        ZooEntry(
            name="mobilenet_v2",
            build=_mobilenet_v2,
            input_shape=(3, 224, 224),
            description="MobileNetV2, width 1.0, 3.5 M parameters",
        ),
        ZooEntry(
            name="unet",
            build=_unet,
            input_shape=(3, 256, 256),
            description="U-Net with padding and batch norm, base width 32, 7.8 M parameters",
        ),
    )
}
