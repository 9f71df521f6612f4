"""The first step of the graph: any frame to a uint8 reduction of one size, by PIL's antialiasing filter.

ONNX Runtime's own antialiased Resize is one scalar loop over every sample of the frame, which takes as long as a small
trunk. But a reduction is linear along each side, so a large frame is reduced by two products of whole numbers, rows
first: the stretch of rows that some rows of the result are made of, times their weights. Measured on one core (3
channels, ONNX Runtime 1.32, AVX2): 1280 × 1024 to 320 × 320 in 4.7 ms instead of 10.1. Floating-point products were
rejected (7 ms for the rows alone), and so was a convolution (9 ms).

The weights are Resize's in whole numbers, of which each row's have the same sum, so that what is even stays even. A
pixel differs from PIL's by at most one grey level, in white noise that is reduced to more than half by two (a test).
They follow from the frame's size, known only when the graph runs. Frames of less than twice the pixels wanted, and
those to be enlarged, are left to Resize: it costs little there, and the smallest reductions are PIL's own.

Written in ONNX's textual syntax: torch has no such product, and would write the frame's size in.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

LARGE = 2
"""Pixels of the frame over those wanted, from which on it is reduced by products."""
BLOCKS = (8, 10, 9, 7, 6, 5, 12, 11, 13, 14, 15, 16, 4, 3, 2)
"""Rows of the result that one product makes, the best first; 16 takes a fifth longer than 8."""

_TEXT = """
<ir_version: 10, opset_import: ["" : 20, "lineside" : 1]>
reduction (uint8[N, H, W, {c}] frame) => (uint8[N, {h}, {w}, {c}] middle, float[2] frame_wh)
{{
    sides = Shape <start: int = 1, end: int = 3> (frame)
    across_first = Constant <value_ints: ints = [1, 0]> ()
    sides_wh = Gather (sides, across_first)
    frame_wh = Cast <to: int = 1> (sides_wh)
    pixels = ReduceProd <keepdims: int = 0> (sides)
    many = Constant <value_int: int = {many}> ()
    has_many = GreaterOrEqual (pixels, many)
    wanted = Constant <value_ints: ints = [{h}, {w}]> ()
    excess = Sub (sides, wanted)
    least_excess = ReduceMin <keepdims: int = 0> (excess)
    zero = Constant <value_int: int = 0> ()
    is_reduced = GreaterOrEqual (least_excess, zero)
    is_large = And (has_many, is_reduced)
    middle = If (is_large) <
        then_branch = by_products () => (uint8[N, {h}, {w}, {c}] reduced)
        {{
            as_rows = Constant <value_ints: ints = [0, 0, -1]> ()
            rows = Reshape (frame, as_rows)
            fewer_rows = lineside.Fewer <size: int = {h}, block: int = {block_h}> (rows)
            turned = Transpose <perm: ints = [0, 2, 1]> (fewer_rows)
            as_columns = Constant <value_ints: ints = [0, -1, {ch}]> ()
            columns = Reshape (turned, as_columns)
            fewer_columns = lineside.Fewer <size: int = {w}, block: int = {block_w}> (columns)
            as_picture = Constant <value_ints: ints = [0, {w}, {c}, {h}]> ()
            lying = Reshape (fewer_columns, as_picture)
            reduced = Transpose <perm: ints = [0, 3, 1, 2]> (lying)
        }},
        else_branch = by_resize () => (uint8[N, {h}, {w}, {c}] resized)
        {{
            sizes = Constant <value_ints: ints = [{h}, {w}]> ()
            resized = Resize <mode: string = "linear", antialias: int = 1, exclude_outside: int = 1,
                axes: ints = [1, 2]> (frame, , , sizes)
        }}
    >
}}
<domain: "lineside", opset_import: ["" : 20]>
Fewer <size, block> (given) => (fewer)
{{
    size_int = Constant <value_int: int = @size> ()
    size = Cast <to: int = 1> (size_int)
    block_int = Constant <value_int: int = @block> ()
    block = Cast <to: int = 1> (block_int)
    no = Constant <value_float: float = 0.0> ()
    half = Constant <value_float: float = 0.5> ()
    one = Constant <value_float: float = 1.0> ()
    two = Constant <value_float: float = 2.0> ()
    first_axis = Constant <value_ints: ints = [0]> ()
    middle_axis = Constant <value_ints: ints = [1]> ()
    last_axis = Constant <value_ints: ints = [2]> ()
    final = Constant <value_ints: ints = [-1]> ()

    length_int = Shape <start: int = 1, end: int = 2> (given)
    length = Cast <to: int = 1> (length_int)
    ratio = Div (length, size)
    reach = Max (ratio, one)
    number = Range (no, size, one)
    beyond = Add (number, half)
    scaled = Mul (beyond, ratio)
    centre_flat = Sub (scaled, half)
    block_many = Unsqueeze (block_int, first_axis)
    as_blocks = Concat <axis: int = 0> (final, block_many, middle_axis)
    centre = Reshape (centre_flat, as_blocks)

    between = Sub (block, one)
    apart = Mul (between, ratio)
    both_sides = Mul (reach, two)
    seen = Add (apart, both_sides)
    roomy = Add (seen, two)
    whole = Floor (roomy)
    span = Min (whole, length)
    first_centre = Slice (centre, first_axis, middle_axis, middle_axis)
    before = Sub (first_centre, reach)
    start_free = Floor (before)
    latest = Sub (length, span)
    start_early = Min (start_free, latest)
    start = Max (start_early, no)
    stop = Squeeze (span)
    offset = Range (no, stop, one)
    place = Add (start, offset)

    away = Sub (place, centre)
    away_abs = Abs (away)
    away_share = Div (away_abs, reach)
    left = Sub (one, away_share)
    weight = Relu (left)
    axis = Constant <value_int: int = 2> ()
    up_to = CumSum (weight, axis)
    total = Gather <axis: int = 2> (up_to, final)
    share = Div (weight, total)
    largest = ReduceMax <keepdims: int = 0> (share)
    most = Constant <value_float: float = 254.0> ()
    units = Div (most, largest)
    levels = Floor (units)
    share_up_to = Div (up_to, total)
    levels_up_to = Mul (share_up_to, levels)
    whole_up_to = Round (levels_up_to)
    pads = Constant <value_ints: ints = [0, 0, 1, 0, 0, 0]> ()
    shifted = Pad (whole_up_to, pads)
    up_to_before = Slice (shifted, first_axis, final, last_axis)
    whole_weight = Sub (whole_up_to, up_to_before)
    factor = Cast <to: int = 2> (whole_weight)

    index_deep = Cast <to: int = 7> (place)
    index = Squeeze (index_deep, middle_axis)
    stretch = Gather <axis: int = 1> (given, index)
    level = Div (one, levels)
    origin = Constant <value: tensor = uint8 {{0}}> ()
    blocks = QLinearMatMul (factor, level, origin, stretch, one, origin, one, origin)
    width = Shape <start: int = 2, end: int = 3> (given)
    kept = Constant <value_ints: ints = [0, -1]> ()
    as_given = Concat <axis: int = 0> (kept, width)
    fewer = Reshape (blocks, as_given)
}}
"""


def reduction_model(middle_wh: tuple[int, int], channels: int) -> "onnx.ModelProto":
    """Return the reduction to `middle_wh` of frames of any size.

    Parameters
    ----------
    middle_wh : tuple of int
        Width and height wanted, px.
    channels : int
        Of the frame: 1 or 3.

    Returns
    -------
    onnx.ModelProto
        frame uint8 [N, H, W, C] -> middle uint8 [N, h, w, C], frame_wh float32 [2] (W, H).
    """
    from onnx.inliner import inline_local_functions
    from onnx.parser import parse_model

    from lineside.graph.onnx_export import clean

    width, height = middle_wh
    sizes = {"h": height, "w": width, "c": channels, "ch": channels * height, "many": LARGE * height * width}
    text = _TEXT.format(**sizes, block_h=_block(height), block_w=_block(width))
    return clean(inline_local_functions(parse_model(text)))


def _block(size: int) -> int:
    """Return how many rows one product makes: a divisor of all rows."""
    return next((block for block in BLOCKS if size % block == 0), 1)
