"""The networks that come with the program, by name. Reading this list loads no torch; building an entry does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offload.models.zoo import builders

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = Path(__file__).parent / "weights"
"""Holds a safetensors file, in half precision, for each trained network."""


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """One built-in network."""

    name: str
    build: Callable[[], nn.Module]
    """Makes the module, its weights not yet drawn."""
    input_shape: tuple[int, ...]
    """Shape of the one input, without the batch."""
    vocabulary: int | None = None
    """How many ids there are for an int64 input; None for a float32 input."""
    layers: int
    """Layers of its graph: what can be measured and cut between."""
    parameters: int
    """Trainable numbers of the module."""
    flops: int
    """Operations of one run with a batch of 1, of all layers; a multiply-accumulate is two."""
    description: str
    weights_sha256: str | None = None
    """Of the file with its trained weights; None where the weights are a seeded initialisation."""

    @property
    def trained(self) -> bool:
        """Whether trained weights come with the program."""
        return self.weights_sha256 is not None

    @property
    def weights_file(self) -> Path:
        """Where the trained weights are, if there are any."""
        return WEIGHTS / f"{self.name}.safetensors"

    @property
    def input_dtype(self) -> Literal["float32", "int64"]:
        """A NumPy type name."""
        return "float32" if self.vocabulary is None else "int64"


CATALOGUE: Mapping[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry(
            name="alexnet",
            build=builders.alexnet,
            input_shape=(3, 227, 227),
            layers=23,
            parameters=60_965_224,
            flops=1_451_712_560,
            description="Neurosurgeon's IMC",
        ),
        ZooEntry(
            name="vgg19",
            build=builders.vgg19,
            input_shape=(3, 224, 224),
            layers=45,
            parameters=143_667_240,
            flops=39_285_112_688,
            description="Neurosurgeon's VGG",
        ),
        ZooEntry(
            name="deepface",
            build=builders.deepface,
            input_shape=(3, 152, 152),
            layers=34,
            parameters=102_752_915,
            flops=1_004_432_834,
            description="Neurosurgeon's FACE",
        ),
        ZooEntry(
            name="mnist",
            build=builders.mnist,
            input_shape=(1, 28, 28),
            layers=10,
            parameters=431_080,
            flops=4_601_280,
            description="Neurosurgeon's DIG",
        ),
        ZooEntry(
            name="kaldi_asr",
            build=builders.kaldi_asr,
            input_shape=(548, 440),
            layers=14,
            parameters=25_380_522,
            flops=27_828_649_984,
            description="Neurosurgeon's ASR",
        ),
        ZooEntry(
            name="senna_pos",
            build=builders.senna_pos,
            input_shape=(300,),
            layers=3,
            parameters=103_845,
            flops=207_600,
            description="Neurosurgeon's POS, a word",
        ),
        ZooEntry(
            name="senna_chk",
            build=builders.senna_chk,
            input_shape=(300,),
            layers=3,
            parameters=102_942,
            flops=205_800,
            description="Neurosurgeon's CHK, a word",
        ),
        ZooEntry(
            name="senna_ner",
            build=builders.senna_ner,
            input_shape=(375,),
            layers=3,
            parameters=117_917,
            flops=235_800,
            description="Neurosurgeon's NER, a word",
        ),
        ZooEntry(
            name="resnet18",
            build=builders.resnet18,
            input_shape=(3, 224, 224),
            layers=49,
            parameters=11_689_512,
            flops=3_633_038_848,
            description="ResNet-18",
        ),
        ZooEntry(
            name="resnet50",
            build=builders.resnet50,
            input_shape=(3, 224, 224),
            layers=122,
            parameters=25_557_032,
            flops=8_195_403_264,
            description="ResNet-50 v1.5",
        ),
        ZooEntry(
            name="mobilenet_v2",
            build=builders.mobilenet_v2,
            input_shape=(3, 224, 224),
            layers=100,
            parameters=3_504_872,
            flops=614_039_232,
            description="MobileNetV2, width 1.0",
        ),
        ZooEntry(
            name="efficientnet_b0",
            build=builders.efficientnet_b0,
            input_shape=(3, 224, 224),
            layers=239,
            parameters=5_288_548,
            flops=807_340_812,
            description="EfficientNet-B0",
        ),
        ZooEntry(
            name="densenet121",
            build=builders.densenet121,
            input_shape=(3, 224, 224),
            layers=368,
            parameters=7_978_856,
            flops=5_707_648_768,
            description="DenseNet-121",
        ),
        ZooEntry(
            name="inception_v3",
            build=builders.inception_v3,
            input_shape=(3, 299, 299),
            layers=215,
            parameters=23_834_568,
            flops=11_459_930_112,
            description="Inception-v3, one head",
        ),
        ZooEntry(
            name="unet",
            build=builders.unet,
            input_shape=(3, 256, 256),
            layers=50,
            parameters=7_763_041,
            flops=24_162_598_912,
            description="U-Net of width 32",
        ),
        ZooEntry(
            name="big_yolo",
            build=builders.big_yolo,
            input_shape=(3, 416, 416),
            layers=53,
            parameters=67_137_565,
            flops=34_941_044_736,
            description="YOLOv2, 22 convolutions",
        ),
        ZooEntry(
            name="tiny_yolo",
            build=builders.tiny_yolo,
            input_shape=(3, 416, 416),
            layers=24,
            parameters=15_861_773,
            flops=6_988_347_392,
            description="tiny YOLOv2, 9 convolutions",
        ),
        ZooEntry(
            name="yolov3",
            build=builders.yolov3,
            input_shape=(3, 416, 416),
            layers=174,
            parameters=61_949_149,
            flops=65_955_189_248,
            description="YOLOv3, three scales",
        ),
        ZooEntry(
            name="deepspeech",
            build=builders.deepspeech,
            input_shape=(200, 81),
            layers=18,
            parameters=28_387_357,
            flops=6_519_617_700,
            description="DeepSpeech, 2 s of speech",
        ),
        ZooEntry(
            name="vit_s_16",
            build=builders.vit_s_16,
            input_shape=(3, 224, 224),
            layers=380,
            parameters=22_050_664,
            flops=9_246_836_520,
            description="ViT-S/16",
        ),
        ZooEntry(
            name="transformer_encoder",
            build=builders.transformer_encoder,
            input_shape=(128,),
            vocabulary=10_000,
            layers=127,
            parameters=5_752_320,
            flops=878_968_832,
            description="4 layers of 256, 4 heads",
        ),
        ZooEntry(
            name="gru_tagger",
            build=builders.gru_tagger,
            input_shape=(64,),
            vocabulary=10_000,
            layers=11,
            parameters=1_982_765,
            flops=90_341_376,
            description="2 GRU layers of 256, 45 tags",
        ),
        ZooEntry(
            name="digits_resnet",
            build=builders.digits_resnet,
            input_shape=(3, 64, 64),
            layers=28,
            parameters=308_826,
            flops=32_455_168,
            description="digits-in-clutter",
            weights_sha256="cec376636c0a5efa00e3aa6f75e558e37fce009b94dfa8a3e9210d155c333397",
        ),
        ZooEntry(
            name="digits_deepspeech",
            build=builders.digits_deepspeech,
            input_shape=(128, 32),
            layers=24,
            parameters=137_227,
            flops=19_796_096,
            description="spoken-digits",
            weights_sha256="f5282ef9e85a716b9f508156c7c4d2b414e247eea432c36661f049eb19292acd",
        ),
    )
}
