"""Sixty-four comparisons at once, for the innermost loops of kernels.

Tags that matter are rare among those that do not. These functions compare many elements of an array and
give the outcomes as the bits of one word, which `trailing_zeros` and `population` then visit one by one; so
a loop jumps from hit to hit and does not branch on every element. They are written in LLVM's own vector
types, not for one kind of processor: the compiler makes AVX-512, AVX2, SSE or NEON of them, and numba keys
its cache by the processor. No element outside an array may be asked for: that is the caller's duty.

Usable in kernels alone. Arrays must be contiguous.
"""

# ruff: noqa: ARG001  numba takes the numbers of arguments from the functions' signatures

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

_WORD = ir.IntType(64)


def _in_kernels(code: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function for kernels of one that tells numba its types and its code."""
    return cast(Callable[..., Any], intrinsic(code))


@_in_kernels
def where_equal(_: Any, array: Any, index: Any, value: Any) -> Any:
    """Bit k of the result (k < 64): array[index + k] == value, for an array of uint8."""

    def code(builder: Any, pointer: Any, value: Any) -> Any:
        elements = _load(builder, pointer, 64)
        return builder.icmp_unsigned("==", elements, _repeated(builder, elements.type, value))

    return _signature(array, types.uint8), _compiled(code)


@_in_kernels
def where_close(_: Any, array: Any, index: Any, ahead: Any, reach: Any) -> Any:
    """Bit k of the result (k < 64): array[index + ahead + k] - array[index + k] <= reach, for int64."""

    def code(builder: Any, pointer: Any, ahead: Any, reach: Any) -> Any:
        here = _load(builder, pointer, 64)
        there = _load(builder, builder.gep(pointer, [ahead]), 64)
        return builder.icmp_signed("<=", builder.sub(there, here), _repeated(builder, here.type, reach))

    return _signature(array, types.uint64, types.int64), _compiled(code)


@_in_kernels
def where_within(_: Any, array: Any, index: Any, low: Any, span: Any) -> Any:
    """Bit k of the result (k < 8): low <= array[index + k] < low + span, for int64."""

    def code(builder: Any, pointer: Any, low: Any, span: Any) -> Any:
        elements = _load(builder, pointer, 8)
        # Unsigned, what is below `low` lies far above `span`: one comparison does for both.
        past = builder.sub(elements, _repeated(builder, elements.type, low))
        return builder.icmp_unsigned("<", past, _repeated(builder, elements.type, span))

    return _signature(array, types.int64, types.int64), _compiled(code)


@_in_kernels
def trailing_zeros(_: Any, word: Any) -> Any:
    """The place of the lowest set bit; any number for a word without one."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), code


@_in_kernels
def population(_: Any, word: Any) -> Any:
    """How many bits of the word are set."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), code


def _signature(array: Any, *others: Any) -> Any:
    return types.uint64(types.Array(array.dtype, 1, "C", readonly=not array.mutable), types.uint64, *others)


def _compiled(compare: Callable[..., Any]) -> Any:
    """What numba calls to compile a comparison, its outcomes packed into a word."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        outcomes = compare(builder, builder.gep(array.data, [arguments[1]]), *arguments[2:])
        bits = builder.bitcast(outcomes, ir.IntType(outcomes.type.count))
        return bits if bits.type == _WORD else builder.zext(bits, _WORD)

    return code


def _load(builder: Any, pointer: Any, count: int) -> Any:
    element = pointer.type.pointee
    loaded = builder.load(builder.bitcast(pointer, ir.VectorType(element, count).as_pointer()))
    loaded.align = element.width // 8  # an array begins anywhere, so a vector in it is not aligned
    return loaded


def _repeated(builder: Any, vector: Any, value: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, places)
