"""Every product of a model, found as it is computed: operands and results go through the casts.

A torch function mode sees each torch function that is called inside of it. Those that multiply and
accumulate (convolutions, linear layers, embeddings, matrix products, attention) get their operands
cast, compute in fp32, and have their result cast; everything else (normalisation, softmax, losses,
elementwise work) passes untouched, in fp32. No model has to know.
"""

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.errors import UserError
from zoo.precision.casts import Casts

Rule = Callable[["RoundProducts", Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class RoundProducts(TorchFunctionMode):
    """While it is entered, products are computed from cast operands and their results are cast."""

    def __init__(self, casts: Casts) -> None:
        super().__init__()
        self.casts = casts

    def compute(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Compute a product of operands that are cast; what counts products overrides this."""
        return func(*args, **kwargs)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        rule = RULES.get(func)
        if rule is None:
            return func(*args, **(kwargs or {}))
        return rule(self, func, args, dict(kwargs or {}))


# -- operands ------------------------------------------------------------------------------------


def _weight(casts: Casts, x: Any) -> Any:
    return casts.weight(x) if isinstance(x, Tensor) else x


def _activation(casts: Casts, x: Any) -> Any:
    return casts.activation(x) if isinstance(x, Tensor) else x


def _either(casts: Casts, x: Any) -> Any:
    """Cast an operand of a function that does not say which one is the weight."""
    if isinstance(x, list | tuple):
        return type(x)(_either(casts, item) for item in x)
    if not isinstance(x, Tensor):
        return x
    is_weight = isinstance(x, nn.Parameter) or isinstance(x._base, nn.Parameter)
    return casts.weight(x) if is_weight else casts.activation(x)


# -- rules ---------------------------------------------------------------------------------------


def _layer(*inputs: str) -> Rule:
    """Return the rule of a function whose operands are the inputs, `weight` and `bias`."""
    names = (*inputs, "weight", "bias")

    def rule(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = {**dict(zip(names, args, strict=False)), **kwargs}
        for name in names:
            cast = _activation if name in inputs else _weight
            bound[name] = cast(mode.casts, bound.get(name))
        operands = [bound.pop(name) for name in names]
        result = mode.compute(func, *operands, *args[len(names) :], **bound)
        return mode.casts.result(result)

    return rule


# Functions whose first operand is added to a product of the others.
ADDENDS = frozenset(
    getattr(home, name)
    for home in (torch, Tensor)
    for name in ("addmm", "addbmm", "baddbmm", "addmv", "addr")
)


def _product(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    out = kwargs.pop("out", None)
    operands = [_either(mode.casts, x) for x in args]
    named = {key: _either(mode.casts, x) for key, x in kwargs.items()}
    result = mode.casts.result(mode.compute(func, *operands, **named))
    return result if out is None else out.copy_(result)


def _reversed_product(
    mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    right, left = args
    return _product(mode, torch.matmul, (left, right), kwargs)


def _embedding(
    mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    # Read first and rounded then: the same values, and no pass over a vocabulary.
    bound = {**dict(zip(("input", "weight"), args, strict=False)), **kwargs}
    indices, table = bound.pop("input"), bound.pop("weight")
    rows = mode.compute(func, indices, mode.casts.table(table), *args[2:], **bound)
    return mode.casts.rows(rows)


def _bag(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    bound = {**dict(zip(("input", "weight"), args, strict=False)), **kwargs}
    indices, table = bound.pop("input"), bound.pop("weight")
    result = mode.compute(func, indices, mode.casts.weight(table), *args[2:], **bound)
    return mode.casts.result(result)


def _attention(
    mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if mode.casts.watches_only:  # what is only watched stays in its fused kernel
        operands = [mode.casts.activation(x) for x in args[:3]]
        named = {
            k: mode.casts.activation(x) if k in ("query", "key", "value") else x
            for k, x in kwargs.items()
        }
        return mode.casts.result(mode.compute(func, *operands, *args[3:], **named))
    return attend(mode, *args, **kwargs)


def attend(
    mode: RoundProducts,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute scaled dot-product attention as its two products, softmax between them in fp32.

    A fused kernel shows neither the scores nor the probabilities, which are a result and an operand
    of products, and so are rounded here. Takes and returns what torch's function does: query
    (..., heads, L, d), key (..., heads, S, d), value (..., heads, S, v) to (..., heads, L, v).
    """
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(repeats, -3) for x in (key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    cast, result = mode.casts.activation, mode.casts.result
    scores = result(mode.compute(torch.matmul, cast(query), cast(key).transpose(-2, -1))) * scale
    if is_causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    if is_causal or attn_mask is not None:  # a query that sees nothing gets nothing
        blind = (scores == -torch.inf).all(-1, keepdim=True)
        shares = scores.masked_fill(blind, 0.0).softmax(-1).masked_fill(blind, 0.0)
    else:
        shares = scores.softmax(-1)
    shares = F.dropout(shares, dropout_p) if dropout_p else shares
    return result(mode.compute(torch.matmul, cast(shares), cast(value)))


def _composite(body: Callable[..., Any]) -> Rule:
    """Return the rule of a function that is written in torch functions: go into it."""
    assert isinstance(body, FunctionType)
    # Its first line asks whether someone like us wants to take over. We do, from inside.
    scope = {
        **body.__globals__,
        "has_torch_function": lambda *_: False,
        "has_torch_function_variadic": lambda *_: False,
        "has_torch_function_unary": lambda *_: False,
    }
    inside = FunctionType(body.__code__, scope, body.__name__, body.__defaults__, body.__closure__)
    inside.__kwdefaults__ = body.__kwdefaults__

    def rule(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with mode:
            return inside(*args, **kwargs)

    return rule


def _refused(what: str) -> Rule:
    def rule(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise UserError(
            f"precision: {what} computes products inside one kernel, where they cannot be rounded; "
            "type precision=fp32 or precision=bf16, or another model"
        )

    return rule


RULES: Mapping[Callable[..., Any], Rule] = {
    torch._C._nn.linear: _layer("input"),
    torch.bilinear: _layer("input1", "input2"),
    **{
        function: _layer("input")
        for function in (
            torch.conv1d,
            torch.conv2d,
            torch.conv3d,
            torch.conv_transpose1d,
            torch.conv_transpose2d,
            torch.conv_transpose3d,
        )
    },
    **{
        getattr(home, name): _product
        for home, names in (
            (
                torch,
                "matmul mm bmm mv dot vdot inner outer ger addmm addbmm baddbmm addmv addr "
                "einsum tensordot",
            ),
            (
                Tensor,
                "matmul __matmul__ mm bmm mv dot vdot inner outer ger addmm addbmm baddbmm "
                "addmv addr",
            ),
            (torch.linalg, "matmul vecdot"),
        )
        for name in names.split()
    },
    Tensor.__rmatmul__: _reversed_product,
    F.embedding: _embedding,
    torch.embedding: _embedding,
    F.embedding_bag: _bag,
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _composite(F.multi_head_attention_forward),
    # Checkpointed activations are computed again in the backward pass.
    Tensor.backward: _composite(Tensor.backward),
    torch.autograd.backward: _composite(torch.autograd.backward),
    **{
        getattr(home, name): _refused(what)
        for home, names, what in (
            (torch, "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
             "a recurrent layer"),
            (torch, "_native_multi_head_attention _transformer_encoder_layer_fwd",
             "a fused transformer layer"),
            (torch, "chain_matmul", "a chain of products"),
            (torch.linalg, "multi_dot", "a chain of products"),
            (Tensor, "addmm_ addbmm_ baddbmm_ addmv_ addr_ __imatmul__", "a product in place"),
        )
        for name in names.split()
        if hasattr(home, name)
    },
}  # fmt: skip
