"""ONNX files of every kind of wrong, and what the user is told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from offload.errors import OffloadError, UsageError
from offload.models.load import load_model, parse_input_shape

CHAIN = """<ir_version: 8, opset_import: ["" : 17]>
chain (float[1,4] x) => (float[1,4] y) <float[4,4] w = {1,0,0,0, 0,2,0,0, 0,0,3,0, 0,0,0,4}>
{ h = MatMul(x, w)  y = Relu(h) }"""


def write(folder: Path, model: str | ModelProto, name: str = "model.onnx") -> Path:
    path = folder / name
    proto = parser.parse_model(model) if isinstance(model, str) else model
    path.write_bytes(proto.SerializeToString())
    return path


def refusal(path: Path, **options: object) -> OffloadError:
    with pytest.raises(OffloadError) as caught:
        load_model(str(path), **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 1
    return caught.value


def test_a_good_file_loads(tmp_path: Path) -> None:
    model = load_model(str(write(tmp_path, CHAIN)))
    assert (model.name, model.batch, model.untrained, model.weights) == ("model", 1, False, "in the file")
    assert [layer.name for layer in model.graph.layers] == ["h", "y"]
    assert [layer.kind for layer in model.graph.layers] == ["linear", "activation"]
    assert [layer.flops for layer in model.graph.layers] == [32, 4]
    assert [layer.weight_bytes for layer in model.graph.layers] == [64, 0]


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.onnx").message


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(99), b"hello world, this is text", b"PK\x03\x04"]
)
def test_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    error = refusal(path)
    assert "not an ONNX" in error.message
    assert "exported to ONNX" in error.hint


def test_truncation_anywhere_is_a_clear_error(tmp_path: Path) -> None:
    whole = write(tmp_path, CHAIN).read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refusal(path).message


def external(folder: Path, location: str) -> Path:
    model = parser.parse_model(CHAIN)
    weight = model.graph.initializer[0]
    data = numpy_helper.to_array(weight).tobytes()
    weight.ClearField("float_data")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        weight.external_data.add(key=key, value=value)
    (folder / "weights.bin").write_bytes(data)
    return write(folder, model)


def test_external_data_inside_the_folder_is_loaded(tmp_path: Path) -> None:
    inside = load_model(str(external(tmp_path, "weights.bin")))
    assert inside.hash == load_model(str(write(tmp_path, CHAIN, "plain.onnx"))).hash


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    outside = tmp_path / "weights.bin"
    external(folder, "weights.bin")
    (folder / "weights.bin").rename(outside)
    (folder / "link.bin").symlink_to(outside)
    for location in ("../weights.bin", str(outside), "link.bin"):
        path = external(folder, location)
        assert "outside the model's folder" in refusal(path).message, location
        os.remove(folder / "weights.bin")


def test_external_data_missing_or_short(tmp_path: Path) -> None:
    assert "'gone.bin' is missing" in refusal(external(tmp_path, "gone.bin")).message
    path = external(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(10))
    assert "external data of tensor 'w'" in refusal(path).message


def test_over_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    assert "over 2 GB" in refusal(path).message


def test_dynamic_dimensions_need_an_input_shape(tmp_path: Path) -> None:
    path = write(tmp_path, CHAIN.replace("[1,4] x", "[N,4] x").replace("[1,4] y", "[N,4] y"))
    error = refusal(path)
    assert "'x' has dynamic dimensions: Nx4" in error.message
    assert "--input x=1x4" in error.hint
    assert load_model(str(path), inputs={"x": (3, 4)}).batch == 3
    assert load_model(str(path), inputs={"": (1, 4)}, batch=5).graph.tensor_by_name["y"].shape == (5, 4)
    assert "'x' is Nx4 in the model, not 1x5" in refusal(path, inputs={"x": (1, 5)}).message
    assert "no input 'z'" in refusal(path, inputs={"z": (1, 4)}).message
    assert "not a batch of 3" in refusal(path, inputs={"x": (2, 4)}, batch=3).message


def test_a_hint_for_images(tmp_path: Path) -> None:
    text = CHAIN.replace("float[1,4] x", "float[N,3,H,W] data")
    assert "--input data=1x3x224x224" in refusal(write(tmp_path, text)).hint


def test_a_fixed_shape_cannot_be_contradicted(tmp_path: Path) -> None:
    assert "is 1x4 in the model" in refusal(write(tmp_path, CHAIN), inputs={"x": (2, 4)}).message


def test_batch_of_a_fixed_model(tmp_path: Path) -> None:
    model = load_model(str(write(tmp_path, CHAIN)), batch=6)
    assert model.batch == 6
    assert model.graph.tensor_by_name["y"].shape == (6, 4)


@pytest.mark.parametrize(
    "body",
    [
        "h = Reshape(x, four)  y = Relu(h)",  # fails: the number of elements differs
        "h = ReduceSum <keepdims=1> (x, zero)  y = Add(x, h)",  # runs, and mixes the samples
    ],
)
def test_batch_of_a_model_that_disagrees(tmp_path: Path, body: str) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    one (float[1,4] x) => (float[1,4] y) <int64[2] four = {{1, 4}}, int64[1] zero = {{0}}> {{ {body} }}"""
    load_model(str(write(tmp_path, text)))
    assert "batch of 2" in refusal(write(tmp_path, text), batch=2).message


def test_custom_operators(tmp_path: Path) -> None:
    text = CHAIN.replace('"" : 17', '"" : 17, "my.company" : 1').replace("Relu", "my.company.Fancy")
    assert "custom domain 'my.company'" in refusal(write(tmp_path, text)).message


def test_control_flow_that_captures(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    branch (float[4] x, bool c) => (float[4] y) {
        h = Relu(x)
        y = If (c) <then_branch = yes () => (float[4] a) { a = Neg(h) },
                    else_branch = no () => (float[4] b) { b = Abs(h) }>
    }"""
    error = refusal(write(tmp_path, text))
    assert "If 'y' captures tensor 'h'" in error.message


def test_control_flow_that_captures_nothing_is_a_layer(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    branch (float[4] x, bool c) => (float[4] y) <float[4] w = {1, 2, 3, 4}> {
        h = If (c) <then_branch = yes () => (float[4] a) { a = Neg(w) },
                    else_branch = no () => (float[4] b) { b = Abs(w) }>
        y = Add(x, h)
    }"""
    model = load_model(str(write(tmp_path, text)))
    assert [layer.kind for layer in model.graph.layers] == ["other", "elementwise"]


def test_outputs_that_are_no_tensors(tmp_path: Path) -> None:
    model = parser.parse_model(CHAIN)
    model.graph.output.append(
        helper.make_value_info("s", helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1])))
    )
    model.graph.node.append(helper.make_node("SequenceConstruct", ["y"], ["s"]))
    assert "output 's' is not a tensor" in refusal(write(tmp_path, model)).message


def test_shapes_that_depend_on_the_data(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    some (float[8] x) => (float[n] y) { c = Cast <to=9> (x)  h = Compress <axis=0> (x, c)  y = Relu(h) }"""
    error = refusal(write(tmp_path, text))
    assert "tensor 'h' (Compress 'h') cannot be inferred" in error.message


def test_initialisers_that_are_also_inputs_are_no_inputs(tmp_path: Path) -> None:
    model = parser.parse_model(CHAIN)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))
    assert load_model(str(write(tmp_path, model))).graph.inputs == ("x",)


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    text = (
        CHAIN.replace('"" : 17', '"" : 17, "local" : 1').replace("Relu", "local.twice")
        + """ <domain: "local", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }"""
    )
    assert [layer.op for layer in load_model(str(write(tmp_path, text))).graph.layers] == ["MatMul", "Add"]


def test_hash_follows_the_content(tmp_path: Path) -> None:
    first = load_model(str(write(tmp_path, CHAIN)))
    assert first.hash == load_model(str(write(tmp_path, CHAIN, "copy.onnx"))).hash
    assert first.hash != load_model(str(write(tmp_path, CHAIN.replace("4}>", "5}>")))).hash
    assert first.hash != load_model(str(write(tmp_path, CHAIN)), batch=2).hash
    assert first.hash != load_model(str(write(tmp_path, CHAIN.replace("Relu", "Tanh")))).hash


def test_weights_cannot_be_replaced_in_a_file(tmp_path: Path) -> None:
    assert "its own weights" in refusal(write(tmp_path, CHAIN), weights=tmp_path / "w.safetensors").message


def test_batch_norms_fold_and_names_stay_with_the_author(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weights = {"w": (8, 3, 3, 3), "scale": (8,), "shift": (8,), "mean": (8,), "variance": (8,)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="stem/conv"),
        helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "variance"], ["b"], name="stem/bn"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"], name="stem/conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "stem",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(generator.random(shape, dtype=np.float32), name) for name, shape in weights.items()],
    )
    model = load_model(str(write(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))))
    layers = [(layer.op, layer.name) for layer in model.graph.layers]
    assert layers == [("Conv", "stem/conv"), ("Relu", "c"), ("Relu", "stem/conv_1")]
    assert {entry.domain for entry in onnx.load_from_string(model.onnx).opset_import} == {""}


def test_parse_input_shape() -> None:
    assert parse_input_shape("data=1x3x224x224") == ("data", (1, 3, 224, 224))
    assert parse_input_shape("gpu_0/data=7") == ("gpu_0/data", (7,))
    assert parse_input_shape("1x10") == ("", (1, 10))
    for text in ("", "data", "data=", "=1x3", "1x0", "1x-3", "1,3", "1X3", "data=axb"):
        with pytest.raises(UsageError, match="not an input shape"):
            parse_input_shape(text)
