"""Seven of the eight networks of Neurosurgeon (Kang et al., ASPLOS 2017); the eighth is `alexnet.py`.

Sizes are those of the public definitions that the paper used (`common/configs/*.prototxt` of `ypkang/djinn`), layer
names are Caffe's. Dropout, which the paper counts as a layer, does nothing at inference; flattening, which it does not
count, is a step of its own here.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from offload.models.zoo.initialisation import SigmoidLinear
from offload.models.zoo.local import LocalConvolution


class Labelled(nn.Sequential):
    """A classifier that returns what its layers make of the input and, by its last step, the likeliest class.

    Both are returned since a class alone, one number, would hardly tell a right answer from a wrong one.
    """

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """(N, classes) probabilities and (N,) int64 classes."""
        for layer in self:
            input = layer(input)
        return input, input.argmax(dim=1)


class Frames(nn.Sequential):
    """A network on single frames, applied to all frames of a batch at once."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, frames, features) to (N · frames, outputs)."""
        frames = input.flatten(0, 1)
        for layer in self:
            frames = layer(frames)
        return frames


def vgg19() -> nn.Module:
    """(N, 3, 224, 224) images to (N, 1000) probabilities and classes; 143,667,240 parameters.

    Configuration E of Simonyan and Zisserman (ICLR 2015).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for stage, (width, depth) in enumerate(((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)), start=1):
        for index in range(1, depth + 1):
            layers[f"conv{stage}_{index}"] = nn.Conv2d(channels, width, 3, padding=1)
            layers[f"relu{stage}_{index}"] = nn.ReLU()
            channels = width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    for name, inputs in (("6", 25_088), ("7", 4096)):
        layers |= {f"fc{name}": nn.Linear(inputs, 4096), f"relu{name}": nn.ReLU(), f"drop{name}": nn.Dropout()}
    return Labelled(layers | {"fc8": nn.Linear(4096, 1000), "prob": nn.Softmax(dim=1)})


def deepface() -> nn.Module:
    """(N, 3, 152, 152) faces to (N, 83) probabilities and persons; 102,752,915 parameters.

    After Taigman et al. (CVPR 2014), for 83 persons; Caffe's pooling rounds up. Sides 142, 71, 63, 55, 25 and 21.
    """
    return Labelled(
        OrderedDict(
            conv1=nn.Conv2d(3, 32, 11),
            pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
            conv3=nn.Conv2d(32, 16, 9),
            local4=LocalConvolution(16, 16, 9, input_side=63),
            local5=LocalConvolution(16, 16, 7, input_side=55, stride=2),
            local6=LocalConvolution(16, 16, 5, input_side=25),
            flatten=nn.Flatten(),
            fc7=nn.Linear(7056, 4096),
            fc8=nn.Linear(4096, 83),
            prob=nn.Softmax(dim=1),
        )
    )


def mnist() -> nn.Module:
    """(N, 1, 28, 28) digits to (N, 10) probabilities and digits; 431,080 parameters: Caffe's LeNet."""
    return Labelled(
        OrderedDict(
            conv1=nn.Conv2d(1, 20, 5),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            ip1=nn.Linear(800, 500),
            relu1=nn.ReLU(),
            ip2=nn.Linear(500, 10),
            prob=nn.Softmax(dim=1),
        )
    )


def kaldi_asr() -> nn.Module:
    """(N, 548, 440) frames of speech features to (N · 548, 1706) scores of phone states; 25,380,522 parameters."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, inputs in enumerate((440, *5 * (2048,)), start=1):
        layers |= {f"fc{index}": SigmoidLinear(inputs, 2048), f"sigmoid{index}": nn.Sigmoid()}
    return Frames(layers | {"fc7": SigmoidLinear(2048, 1706)})


def senna_pos() -> nn.Module:
    """(N, 300) features, one row a word, to (N, 45) scores of parts of speech; 103,845 parameters."""
    return _senna(300, 45)


def senna_chk() -> nn.Module:
    """(N, 300) features, one row a word, to (N, 42) scores of chunk tags; 102,942 parameters."""
    return _senna(300, 42)


def senna_ner() -> nn.Module:
    """(N, 375) features, one row a word, to (N, 17) scores of entity tags; 117,917 parameters."""
    return _senna(375, 17)


def _senna(features: int, tags: int) -> nn.Module:
    return nn.Sequential(OrderedDict(fc1=nn.Linear(features, 300), htanh2=nn.Hardtanh(), fc3=nn.Linear(300, tags)))
