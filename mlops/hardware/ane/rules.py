"""What Core ML can place on the Neural Engine, as far as it is known: a heuristic.

Apple publishes no list. The table is put together from these sources, which each rule names by its letter:

A  Apple: "Deploying Transformers on the Apple Neural Engine" (2022), the guide of coremltools
   ("Typed Execution", "Flexible Input Shapes") and its MIL reference.
C  The op catalog of sbryngelson/ANEForge: 187 operations, probed on chips from M1 to M5.
G  "ANE guide", chapters 4 and 17: limits measured on an M1 by sweeping shapes until the compiler refused.
H  hollance/neural-engine, "Which Core ML layers are not supported by the ANE?" and "16-bit".
I  Threads of apple/coremltools (835, 1764, 1909, 2370) and of pytorch/executorch (13613).
P  Compute plans of MLComputePlan that were published: the Whisper models of WhisperKit, and
   roboflow/rf-detr pull request 1495 (M3 Pro, macOS 27).

Where sources disagree, a measurement counts more than a report: dilated convolutions (C, G: yes; H: no) pass.
What differs between chips is judged by the weakest, M1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlops.hardware.ane.program import Operation, Shape

LONGEST_SIDE, MOST_CHANNELS, HIGHEST_RANK = 16_384, 65_536, 5
WIDEST_KERNEL, WIDEST_POOL, LONGEST_ARGUMENT = 13, 29, 2_048

# Source C, where it says that the operation runs on every chip; the last line: C has upsampling in software
# on M1, and H reports it on the engine.
_PLACEABLE = """
    ceil clamped_relu clip elu erf exp exp2 floor gelu leaky_relu log prelu relu relu6 round scaled_tanh
    sigmoid sigmoid_hard sign silu softmax softplus softplus_parametric softsign tanh threshold
    thresholded_relu equal greater greater_equal less less_equal logical_not not_equal select avg_pool
    conv conv_transpose einsum l2_pool linear linear_activation matmul max_pool
    scaled_dot_product_attention abs add floor_div inverse maximum minimum mul pow real_div rsqrt sqrt
    square sub atan batch_norm instance_norm l2_norm layer_norm local_response_norm cast dequantize
    quantize reduce_argmax reduce_l1_norm reduce_l2_norm reduce_log_sum reduce_log_sum_exp reduce_max
    reduce_mean reduce_min reduce_sum reduce_sum_square batch_to_space concat crop depth_to_space
    expand_dims fill fill_like flatten2d pad pixel_shuffle pixel_unshuffle reshape reshape_like reverse
    slice_by_index slice_by_size slice_update space_to_batch space_to_depth split squeeze stack tile
    transpose read_state write_state coreml_update_state resize resize_bilinear resize_nearest_neighbor
    upsample_bilinear upsample_nearest_neighbor
"""
PLACEABLE = frozenset(_PLACEABLE.split())


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an operation does not run on the engine, and what to do."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Family:
    """Operations that leave the engine for the same reason."""

    types: frozenset[str]
    objection: Objection


def _family(types: str, reason: str, remedy: str) -> Family:
    return Family(frozenset(types.split()), Objection(reason, remedy))


FAMILIES: tuple[Family, ...] = (
    # C and H: no chip has recurrent cells.
    _family(
        "lstm gru rnn",
        "recurrent: the engine has no such cells",
        "unroll it into matrix products, or use convolutions or attention instead",
    ),
    # P: the embedding look-ups of Whisper and the gathers of RF-DETR run on the CPU; H says so.
    _family(
        "gather gather_nd gather_along_axis",
        "gathers by index: planned for the CPU",
        "slice, reshape or multiply by a one-hot matrix where the indices are constant; look embeddings up"
        " before the model",
    ),
    # C and G.
    _family(
        "scatter scatter_nd scatter_along_axis",
        "scatters by index: the engine has no such operation",
        "write the result by concatenation or by a mask (select)",
    ),
    # P: top-k leaves the engine on an M3 Pro; C: refused on M1.
    _family(
        "topk argsort",
        "sorts: refused on M1, and planned for the CPU on later chips",
        "take the best outside of the model, or use a maximum",
    ),
    # C: the standard operation is not implemented.
    _family(
        "cumsum",
        "a cumulative sum: the engine has no such operation",
        "multiply by a triangular matrix of ones",
    ),
    # C, G.
    _family(
        "cond while_loop make_list list_gather list_length list_read list_scatter list_write",
        "control flow: the engine runs straight programs alone",
        "unroll the loop, or bring the choice out of the model",
    ),
    # C: shapes that depend on the data.
    _family(
        "non_zero shape range_1d one_hot sliding_windows reverse_sequence band_part",
        "makes shapes or masks while it runs: the engine has no such operation",
        "compute it when the model is converted, as a constant",
    ),
    _family(
        "random_bernoulli random_categorical random_normal random_uniform",
        "random numbers: the engine has no such operation",
        "give the numbers to the model as an input",
    ),
    # C.
    _family(
        "reduce_prod mod logical_and logical_or logical_xor acos acosh asin asinh atanh cosh sinh tan",
        "arithmetic that the engine has not",
        "write it by operations that it has: exp, log, minimum, maximum, mul",
    ),
    # C: native from M3 on.
    _family(
        "sin cos reduce_argmin",
        "not on the engine of M1 and M2",
        "take a table of constants, or reduce_argmax of the negative",
    ),
    # C: the texture engine came after M1.
    _family(
        "affine crop_resize resample",
        "not on the engine of M1",
        "resize by whole factors, or warp before the model",
    ),
)

_BY_TYPE = {kind: family.objection for family in FAMILIES for kind in family.types}


def objection(operation: Operation) -> Objection | None:
    """Why the operation is not placed on the Neural Engine; None where nothing speaks against it."""
    known = _BY_TYPE.get(operation.type)
    if known is not None:
        return known
    if operation.type not in PLACEABLE:
        return Objection(
            "unknown to the table of operations",
            "ask the compute plan on a Mac (macOS 14.4 or later), or write it by common operations",
        )
    return next((found for rule in RULES if (found := rule(operation)) is not None), None)


def _control_flow(operation: Operation) -> Objection | None:
    # C, G: as the families say.
    if not operation.inside:
        return None
    return Objection("inside control flow", "unroll the loop, or bring the choice out of the model")


def _dynamic_shape(operation: Operation) -> Objection | None:
    # I and A: a range for a shape takes the model to the CPU or the GPU; enumerated shapes may stay.
    shapes = [tensor.shape for tensor in (*operation.inputs, *operation.outputs)]
    if any(shape is not None and None in shape for shape in shapes):
        return Objection("dynamic shape", "fix every dimension when converting, or enumerate the shapes")
    if None in shapes:
        return Objection("unknown shape", "replace the operation before it that the table does not know")
    return None


def _dtype(operation: Operation) -> Objection | None:
    # A (Typed Execution), G and H: the engine computes in float16, whatever it is told.
    dtype = operation.dtype
    if operation.type == "select" and operation.outputs:  # its first input is the condition
        dtype = operation.outputs[0].dtype
    if operation.type == "cast":  # C: to float32 and bool natively, to int32 not on M1
        into = operation.outputs[0].dtype if operation.outputs else ""
        if {dtype, into} <= {"fp16", "fp32", "bool", ""}:
            return None
        return Objection(f"casts {dtype or '?'} to {into or '?'}", "keep the numbers in float16")
    if dtype in ("fp16", "bool", ""):
        return None
    if dtype == "fp32":
        return Objection("computes in float32", "convert with `compute_precision=ct.precision.FLOAT16`")
    if operation.type in ("quantize", "dequantize") and dtype in ("int8", "uint8"):
        return None
    return Objection(
        f"computes in {dtype}", "compute in float32 before the conversion, which makes it float16"
    )


def _rank(operation: Operation) -> Objection | None:
    # A (MIL reference): no tensor has more than 5 dimensions; G: volumes fail on every device.
    rank = max((len(tensor.shape or ()) for tensor in (*operation.inputs, *operation.outputs)), default=0)
    if rank > HIGHEST_RANK:
        return Objection(f"rank {rank}, above {HIGHEST_RANK}", "merge dimensions before it")
    data = operation.outputs[0].shape if operation.outputs else None
    if operation.type in ("conv", "conv_transpose") and len(data or ()) == 5:
        return Objection("a convolution over volumes", "make it of convolutions over planes")
    return None


def _size(operation: Operation) -> Objection | None:
    # G: 16384 along width and height, 65536 along channels.
    for tensor in (*operation.inputs, *operation.outputs):
        if not tensor.constant and _too_long(tensor.shape or ()):
            longest = max(length or 0 for length in tensor.shape or ())
            return Objection(f"a dimension of {longest}", f"split it into parts of at most {LONGEST_SIDE}")
    return None


def _too_long(shape: Shape) -> bool:
    # Two dimensions are a batch of channels, and one is channels.
    sides, channels = (shape[-2:], shape[:-2]) if len(shape) > 2 else ((), shape)
    return any((n or 0) > LONGEST_SIDE for n in sides) or any((n or 0) > MOST_CHANNELS for n in channels)


def _kernel(operation: Operation) -> Objection | None:
    # G and C: 13 wide in float16 on M1; P: WhisperKit's convolution over 400 samples is planned for the CPU.
    if operation.type in ("conv", "conv_transpose") and len(operation.inputs) > 1:
        kernel, widest = (operation.inputs[1].shape or ())[2:], WIDEST_KERNEL
    elif operation.type in ("avg_pool", "max_pool", "l2_pool"):  # C
        sizes = operation.attributes.get("kernel_sizes") or operation.attributes.get("kernel_shape") or ()
        kernel, widest = tuple(sizes), WIDEST_POOL
    else:
        return None
    largest = max((length or 0 for length in kernel), default=0)
    if largest <= widest:
        return None
    return Objection(
        f"a kernel of {largest}, above {widest}", "use several smaller kernels one after another"
    )


def _argument(operation: Operation) -> Objection | None:
    # G.
    if operation.type != "reduce_argmax" or not operation.inputs or not operation.inputs[0].shape:
        return None
    shape, axis = operation.inputs[0].shape, operation.attributes.get("axis", 0)
    length = shape[axis] if isinstance(axis, int) and -len(shape) <= axis < len(shape) else None
    if (length or 0) <= LONGEST_ARGUMENT:
        return None
    return Objection(f"an argument over {length} numbers", f"reduce at most {LONGEST_ARGUMENT} at a time")


def _padding(operation: Operation) -> Objection | None:
    # C: other modes need the texture engine; P: WhisperKit's reflecting pad is planned for the CPU.
    mode = operation.attributes.get("mode", "constant")
    if operation.type != "pad" or mode == "constant":
        return None
    return Objection(f"pads by {mode}", "pad with a constant, or before the model")


def _resizing(operation: Operation) -> Objection | None:
    # A (MIL reference): there are nearest neighbours and linear alone.
    mode = operation.attributes.get("mode")
    if operation.type != "resize" or mode != "cubic":
        return None
    return Objection("resizes by cubic splines", "resize linearly, or before the model")


def _equation(operation: Operation) -> Objection | None:
    # A (MIL reference): einsum takes two inputs.
    if operation.type != "einsum" or len(operation.inputs) <= 2:
        return None
    return Objection(f"an einsum of {len(operation.inputs)} inputs", "write it by products of two")


RULES: tuple[Callable[[Operation], Objection | None], ...] = (
    _control_flow,
    _dynamic_shape,
    _dtype,
    _rank,
    _size,
    _kernel,
    _argument,
    _padding,
    _resizing,
    _equation,
)
