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
        self.busy = False  # inside a rule: entered twice, it rounds once

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
        rule = None if self.busy else RULES.get(func)
        if rule is None:
            return func(*args, **(kwargs or {}))
        self.busy = True
        try:
            return rule(self, func, args, dict(kwargs or {}))
        finally:
            self.busy = False


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
        out = bound.pop("out", None)
        for name in names:
            cast = _activation if name in inputs else _weight
            bound[name] = cast(mode.casts, bound.get(name))
        operands = [bound.pop(name) for name in names]
        result = mode.compute(func, *operands, *args[len(names) :], **bound)
        return _into(out, mode.casts.result(result))

    return rule


# Functions whose first operand is added to a product of the others.
ADDENDS = frozenset(
    getattr(home, name)
    for home in (torch, Tensor)
    for name in ("addmm", "addbmm", "baddbmm", "addmv")
)


def _product(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    out = kwargs.pop("out", None)
    operands = [_either(mode.casts, x) for x in args]
    named = {key: _either(mode.casts, x) for key, x in kwargs.items()}
    result = mode.casts.result(mode.compute(func, *operands, **named))
    return _into(out, result)


def _into(out: Tensor | None, result: Tensor) -> Tensor:
    if out is None:
        return result
    return out.resize_(result.shape).copy_(result)


def _einsum(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Round a contraction of two operands; a sum, a permutation or a table of products is none."""
    equation, *operands = args
    if isinstance(equation, str):
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = list(operands[0])
        inputs, _, output = equation.replace(" ", "").partition("->")
        terms = inputs.split(",")
        shared = set.intersection(*(set(t) for t in terms)) - {"."}
        kept = set(output) if "->" in equation else {c for c in inputs if inputs.count(c) == 1}
        if len(terms) == 1 or (len(terms) == 2 and not shared - kept):
            return func(*args, **kwargs)
        if len(terms) > 2:
            raise UserError(
                f"precision: einsum {equation} contracts {len(terms)} operands at once, between "
                "which nothing can be rounded; write it as products of two"
            )
        args = (equation, *operands)
    return _product(mode, func, args, kwargs)


def _linear_cross_entropy(
    mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    bound = {**dict(zip(("input", "linear_weight", "target"), args, strict=False)), **kwargs}
    bound.pop("options", None)
    x, weight, target = bound.pop("input"), bound.pop("linear_weight"), bound.pop("target")
    if bound.get("ignore_index") is None:
        bound.pop("ignore_index", None)
    bias = bound.pop("linear_bias", None)
    logits = _layer("input")(mode, torch._C._nn.linear, (x, weight, bias), {})
    return F.cross_entropy(logits, target, **bound)


def _reversed_product(
    mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    right, left = args
    return _product(mode, torch.matmul, (left, right), kwargs)


def _bind(names: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = {**dict(zip(names.split(), args, strict=False)), **kwargs}
    if bound.get("max_norm") is not None:  # writes into the table itself
        with torch.no_grad():
            torch.embedding_renorm_(
                bound["weight"], bound["input"], bound.pop("max_norm"), bound.get("norm_type", 2.0)
            )
    return bound


def _embedding(
    mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    names = "input weight padding_idx max_norm norm_type scale_grad_by_freq sparse"
    bound = _bind(names, args, kwargs)
    # Read first and rounded then: the same values, and no pass over a vocabulary.
    bound["weight"] = mode.casts.table(bound["weight"])
    return mode.casts.rows(mode.compute(func, **bound))


def _bag(mode: RoundProducts, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = (
        "input weight offsets max_norm norm_type scale_grad_by_freq mode sparse per_sample_weights "
        "include_last_offset padding_idx"
    )
    bound = _bind(names, args, kwargs)
    bound["weight"] = mode.casts.weight(bound["weight"])
    if bound.get("per_sample_weights") is not None:
        bound["per_sample_weights"] = mode.casts.activation(bound["per_sample_weights"])
    return mode.casts.result(mode.compute(func, **bound))


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

    def scaled(query: Tensor, key: Tensor) -> Tensor:
        # As a matrix unit's alpha, before the result is rounded: narrow formats overflow else.
        return query @ key.transpose(-2, -1) * scale

    scores = result(mode.compute(scaled, cast(query), cast(key)))
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
        mode.busy = False
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
            torch.convolution,
            torch.conv_tbc,
        )
    },
    torch.einsum: _einsum,
    **{
        getattr(home, name): _product
        for home, names in (
            (
                torch,
                "matmul mm bmm mv dot vdot inner addmm addbmm baddbmm addmv tensordot",
            ),
            (
                Tensor,
                "matmul __matmul__ mm bmm mv dot vdot inner addmm addbmm baddbmm addmv",
            ),
            (torch.linalg, "matmul vecdot"),
        )
        for name in names.split()
    },
    Tensor.__rmatmul__: _reversed_product,
    F.embedding: _embedding,
    **({F.linear_cross_entropy: _linear_cross_entropy} if hasattr(F, "linear_cross_entropy") else {}),
    F.embedding_bag: _bag,
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _composite(F.multi_head_attention_forward),
    # Checkpointed activations are computed again in the backward pass.
    Tensor.backward: _composite(Tensor.backward),
    torch.autograd.backward: _composite(torch.autograd.backward),
    torch.autograd.grad: _composite(torch.autograd.grad),
    **{
        getattr(home, name): _refused(what)
        for home, names, what in (
            (torch, "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
             "a recurrent layer"),
            (torch, "_native_multi_head_attention _transformer_encoder_layer_fwd",
             "a fused transformer layer"),
            (torch, "chain_matmul matrix_power", "a chain of products"),
            (torch.linalg, "multi_dot matrix_power", "a chain of products"),
            (torch, "_convolution embedding_bag smm hspmm sspaddmm", "a function of torch's inside"),
            (torch.sparse, "mm addmm", "a sparse product"),
            (F, "grouped_mm scaled_mm scaled_grouped_mm", "a grouped or scaled product"),
            (torch, "_grouped_mm _scaled_mm", "a grouped or scaled product"),
            (Tensor, "addmm_ addbmm_ baddbmm_ addmv_ __imatmul__", "a product in place"),
        )
        for name in names.split()
        if hasattr(home, name)
    },
}  # fmt: skip
