"""ONNX's names, and Core ML's for the same.

A node that the converter would split into several operations stands under the one that does its work. A node
that is not here keeps its ONNX name, which no rule knows.
"""

from __future__ import annotations

# onnx.TensorProto.DataType
DTYPES = {
    1: "fp32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "fp16", 11: "fp64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
    16: "bf16", 17: "fp8", 18: "fp8", 19: "fp8", 20: "fp8", 21: "uint4", 22: "int4", 23: "fp4",
}  # fmt: skip

_SAME_NAME = """
    Abs Acos Acosh Add Asin Asinh Atan Atanh Cast Ceil Clip Concat Conv Cos Cosh Einsum Elu Equal Erf Exp
    Floor Gather Gelu Greater Identity Less Log Mod Mul Pad Pow Reshape Resize Round Scatter Shape Sigmoid
    Sign Sin Sinh Softmax Softplus Softsign Split Sqrt Squeeze Sub Tan Tanh Tile Transpose GRU LSTM RNN
"""

_OTHER_NAME = {
    "And": "logical_and",
    "ArgMax": "reduce_argmax",
    "ArgMin": "reduce_argmin",
    "Attention": "scaled_dot_product_attention",
    "AveragePool": "avg_pool",
    "BatchNormalization": "batch_norm",
    "Bernoulli": "random_bernoulli",
    "CastLike": "cast",
    "Celu": "elu",
    "ConstantOfShape": "fill",
    "ConvInteger": "conv",
    "ConvTranspose": "conv_transpose",
    "CumSum": "cumsum",
    "DepthToSpace": "depth_to_space",
    "DequantizeLinear": "dequantize",
    "Div": "real_div",
    "Dropout": "identity",
    "DynamicQuantizeLinear": "quantize",
    "Expand": "tile",
    "Flatten": "reshape",
    "GatherElements": "gather_along_axis",
    "GatherND": "gather_nd",
    "Gemm": "matmul",
    "GlobalAveragePool": "reduce_mean",
    "GlobalLpPool": "reduce_l2_norm",
    "GlobalMaxPool": "reduce_max",
    "GreaterOrEqual": "greater_equal",
    "GridSample": "resample",
    "GroupNormalization": "instance_norm",
    "HardSigmoid": "sigmoid_hard",
    "HardSwish": "sigmoid_hard",
    "Hardmax": "reduce_argmax",
    "If": "cond",
    "InstanceNormalization": "instance_norm",
    "IsInf": "equal",
    "IsNaN": "not_equal",
    "LRN": "local_response_norm",
    "LayerNormalization": "layer_norm",
    "LeakyRelu": "leaky_relu",
    "LessOrEqual": "less_equal",
    "LogSoftmax": "softmax",
    "Loop": "while_loop",
    "LpNormalization": "l2_norm",
    "LpPool": "l2_pool",
    "MatMul": "matmul",
    "MatMulInteger": "matmul",
    "Max": "maximum",
    "MaxPool": "max_pool",
    "Mean": "add",
    "MeanVarianceNormalization": "reduce_mean",
    "Min": "minimum",
    "Mish": "tanh",
    "Multinomial": "random_categorical",
    "Neg": "mul",
    "NonMaxSuppression": "non_maximum_suppression",
    "NonZero": "non_zero",
    "Not": "logical_not",
    "OneHot": "one_hot",
    "Or": "logical_or",
    "PRelu": "prelu",
    "QLinearConv": "conv",
    "QLinearMatMul": "matmul",
    "QuantizeLinear": "quantize",
    "RMSNormalization": "reduce_mean",
    "RandomNormal": "random_normal",
    "RandomNormalLike": "random_normal",
    "RandomUniform": "random_uniform",
    "RandomUniformLike": "random_uniform",
    "Range": "range_1d",
    "Reciprocal": "inverse",
    "ReduceL1": "reduce_l1_norm",
    "ReduceL2": "reduce_l2_norm",
    "ReduceLogSum": "reduce_log_sum",
    "ReduceLogSumExp": "reduce_log_sum_exp",
    "ReduceMax": "reduce_max",
    "ReduceMean": "reduce_mean",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
    "ReduceSum": "reduce_sum",
    "ReduceSumSquare": "reduce_sum_square",
    "Relu": "relu",
    "ReverseSequence": "reverse_sequence",
    "RotaryEmbedding": "mul",
    "Scan": "while_loop",
    "ScatterElements": "scatter_along_axis",
    "ScatterND": "scatter_nd",
    "Selu": "elu",
    "Shrink": "select",
    "Size": "shape",
    "Slice": "slice_by_index",
    "SpaceToDepth": "space_to_depth",
    "Sum": "add",
    "SwiGLU": "silu",
    "Swish": "silu",
    "ThresholdedRelu": "thresholded_relu",
    "TopK": "topk",
    "Trilu": "band_part",
    "Unsqueeze": "expand_dims",
    "Upsample": "resize",
    "Where": "select",
    "Xor": "logical_xor",
}

MIL_TYPES: dict[str, str] = {**{name: name.lower() for name in _SAME_NAME.split()}, **_OTHER_NAME}

UNCOUNTED = frozenset(
    {
        "AffineGrid",
        "CausalConvWithState",
        "DFT",
        "DeformConv",
        "Det",
        "LinearAttention",
        "STFT",
        "SequenceMap",
    }
)
"""Standard operators that multiply matrices or convolve and are not counted; what else ONNX has does not."""

SAME_NUMBERS = frozenset(
    {"Cast", "DequantizeLinear", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""What is made of a weight by these is the same weight."""

INTEGER_WEIGHTS = frozenset(
    {"ConvInteger", "DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)
"""Operators whose integer constants are weights."""

WEIGHT_SLOTS: dict[str, tuple[int, ...]] = {
    "CastLike": (0,),
    "Clip": (0,),
    "ConvInteger": (0, 1),
    "DequantizeLinear": (0,),
    "Dropout": (0,),
    "MatMulInteger": (0, 1),
    "NonMaxSuppression": (0, 1),
    "OneHot": (),
    "Pad": (0,),
    "QLinearConv": (0, 3, 8),
    "QLinearMatMul": (0, 3),
    "QuantizeLinear": (0,),
    "Range": (),
    "Resize": (0,),
    "Upsample": (0,),
}
"""The inputs that may be weights, of operators that also take bounds, scales or zero points."""
