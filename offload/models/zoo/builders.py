"""What builds each network; every function imports the one file it needs, so that listing them loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def alexnet() -> nn.Module:
    """See `AlexNet` in `alexnet.py`."""
    from offload.models.zoo.alexnet import AlexNet

    return AlexNet()


def vgg19() -> nn.Module:
    """See `vgg19` in `neurosurgeon.py`."""
    from offload.models.zoo import neurosurgeon

    return neurosurgeon.vgg19()


def deepface() -> nn.Module:
    """See `deepface` in `neurosurgeon.py`."""
    from offload.models.zoo import neurosurgeon

    return neurosurgeon.deepface()


def mnist() -> nn.Module:
    """See `mnist` in `neurosurgeon.py`."""
    from offload.models.zoo import neurosurgeon

    return neurosurgeon.mnist()


def kaldi_asr() -> nn.Module:
    """See `kaldi_asr` in `neurosurgeon.py`."""
    from offload.models.zoo import neurosurgeon

    return neurosurgeon.kaldi_asr()


def senna_pos() -> nn.Module:
    """See `senna_pos` in `neurosurgeon.py`."""
    from offload.models.zoo import neurosurgeon

    return neurosurgeon.senna_pos()


def senna_chk() -> nn.Module:
    """See `senna_chk` in `neurosurgeon.py`."""
    from offload.models.zoo import neurosurgeon

    return neurosurgeon.senna_chk()


def senna_ner() -> nn.Module:
    """See `senna_ner` in `neurosurgeon.py`."""
    from offload.models.zoo import neurosurgeon

    return neurosurgeon.senna_ner()


def resnet18() -> nn.Module:
    """See `resnet18` in `resnet.py`."""
    from offload.models.zoo import resnet

    return resnet.resnet18()


def resnet50() -> nn.Module:
    """See `resnet50` in `resnet.py`."""
    from offload.models.zoo import resnet

    return resnet.resnet50()


def mobilenet_v2() -> nn.Module:
    """See `MobileNetV2` in `mobilenet.py`."""
    from offload.models.zoo.mobilenet import MobileNetV2

    return MobileNetV2()


def efficientnet_b0() -> nn.Module:
    """See `EfficientNetB0` in `efficientnet.py`."""
    from offload.models.zoo.efficientnet import EfficientNetB0

    return EfficientNetB0()


def densenet121() -> nn.Module:
    """See `DenseNet121` in `densenet.py`."""
    from offload.models.zoo.densenet import DenseNet121

    return DenseNet121()


def inception_v3() -> nn.Module:
    """See `inception_v3` in `inception.py`."""
    from offload.models.zoo import inception

    return inception.inception_v3()


def unet() -> nn.Module:
    """See `UNet` in `unet.py`."""
    from offload.models.zoo.unet import UNet

    return UNet()


def big_yolo() -> nn.Module:
    """See `BigYolo` in `yolo.py`."""
    from offload.models.zoo.yolo import BigYolo

    return BigYolo()


def tiny_yolo() -> nn.Module:
    """See `TinyYolo` in `yolo.py`."""
    from offload.models.zoo.yolo import TinyYolo

    return TinyYolo()


def yolov3() -> nn.Module:
    """See `YoloV3` in `yolo.py`."""
    from offload.models.zoo.yolo import YoloV3

    return YoloV3()


def deepspeech() -> nn.Module:
    """See `DeepSpeech` in `deepspeech.py`."""
    from offload.models.zoo.deepspeech import DeepSpeech

    return DeepSpeech()


def digits_resnet() -> nn.Module:
    """See `DigitsResNet` in `digits_resnet.py`."""
    from offload.models.zoo.digits_resnet import DigitsResNet

    return DigitsResNet()


def digits_deepspeech() -> nn.Module:
    """See `DigitsDeepSpeech` in `digits_deepspeech.py`."""
    from offload.models.zoo.digits_deepspeech import DigitsDeepSpeech

    return DigitsDeepSpeech()


def vit_s_16() -> nn.Module:
    """See `VisionTransformer` in `transformer.py`."""
    from offload.models.zoo.transformer import VisionTransformer

    return VisionTransformer()


def transformer_encoder() -> nn.Module:
    """See `TransformerEncoder` in `transformer.py`."""
    from offload.models.zoo.transformer import TransformerEncoder

    return TransformerEncoder()


def gru_tagger() -> nn.Module:
    """See `GruTagger` in `gru_tagger.py`."""
    from offload.models.zoo.gru_tagger import GruTagger

    return GruTagger()
