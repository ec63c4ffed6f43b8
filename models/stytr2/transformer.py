"""Attention, encoder and decoder layers (equations 3 to 5), pre- and post-norm.

Parameters and their order of use are those of `torch.nn.TransformerEncoderLayer` and `...DecoderLayer`, so that
layers compare one to one; what those cannot do (positions added to queries and keys, a decoder whose first
attention reads the memory) is why these exist.

Shape suffixes: B batch, N and M tokens, D width, H heads.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NormPlace = Literal["pre", "post"]

FEW_TOKENS = 512


class Attention(nn.Module):
    """Multi-head scaled dot-product attention, equation 4, without materialising the N x M weights."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.inner = nn.Linear(width, 3 * width)  # q, k and v, as nn.MultiheadAttention.in_proj_weight
        self.outer = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.inner.weight)
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.outer.bias)

    def forward(self, q_BND: Tensor, k_BMD: Tensor, v_BMD: Tensor) -> Tensor:
        """[B, N, D] queries over [B, M, D] keys and values -> [B, N, D]."""
        width = q_BND.shape[-1]
        weight, bias = self.inner.weight, self.inner.bias
        # Inputs that are the same tensor are projected by one product.
        if q_BND is v_BMD:
            q, k, v = self.inner(q_BND).chunk(3, dim=-1)
        elif q_BND is k_BMD:
            q, k = F.linear(q_BND, weight[: 2 * width], bias[: 2 * width]).chunk(2, dim=-1)
            v = F.linear(v_BMD, weight[2 * width :], bias[2 * width :])
        else:
            q = F.linear(q_BND, weight[:width], bias[:width])
            k, v = F.linear(k_BMD, weight[width:], bias[width:]).chunk(2, dim=-1)
        q_BHNd, k_BHMd, v_BHMd = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        rate = self.dropout if self.training else 0.0
        attend = _plain if _few_on_cpu(q_BHNd, k_BHMd) else F.scaled_dot_product_attention
        mixed_BHNd = attend(q_BHNd, k_BHMd, v_BHMd, dropout_p=rate)
        mixed: Tensor = self.outer(mixed_BHNd.transpose(1, 2).flatten(-2))
        return mixed


def _few_on_cpu(q_BHNd: Tensor, k_BHMd: Tensor) -> bool:
    """Where the fused kernel is the slower one: few tokens in bfloat16 on a CPU, by a factor of two to four."""
    few = q_BHNd.shape[-2] * k_BHMd.shape[-2] <= FEW_TOKENS**2
    return few and q_BHNd.device.type == "cpu" and q_BHNd.dtype == torch.bfloat16


def _plain(q_BHNd: Tensor, k_BHMd: Tensor, v_BHMd: Tensor, dropout_p: float) -> Tensor:
    """Equation 4 as it stands."""
    weights_BHNM = (q_BHNd * q_BHNd.shape[-1] ** -0.5 @ k_BHMd.transpose(-1, -2)).softmax(-1)
    return F.dropout(weights_BHNM, dropout_p) @ v_BHMd


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BND: Tensor) -> Tensor:
        y_BND: Tensor = self.outer(self.dropout(F.relu(self.inner(x_BND))))
        return y_BND


class EncoderLayer(nn.Module):
    """Equation 3; `position` (None or [B, N, D]) is added to queries and keys, not to values."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, norm: NormPlace) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention = Attention(width, heads, dropout)
        self.ffn = FeedForward(width, hidden, dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h_BND: Tensor, position_BND: Tensor | None = None) -> Tensor:
        if self.pre:
            h_BND = h_BND + self._attend(self.norm1(h_BND), position_BND)
            out_BND: Tensor = h_BND + self.dropout(self.ffn(self.norm2(h_BND)))
            return out_BND
        h_BND = self.norm1(h_BND + self._attend(h_BND, position_BND))
        out_BND = self.norm2(h_BND + self.dropout(self.ffn(h_BND)))
        return out_BND

    def _attend(self, x_BND: Tensor, position_BND: Tensor | None) -> Tensor:
        qk_BND = _with(x_BND, position_BND)
        out_BND: Tensor = self.dropout(self.attention(qk_BND, qk_BND, x_BND))
        return out_BND


class DecoderLayer(nn.Module):
    """Equation 5: attention among the queries, attention to the style memory, feed-forward.

    first: "self", or "memory" where the first attention reads the memory too. `position` is added to the
    queries of what reads the memory (and to queries and keys of self-attention).

    roles: for each memory, the index of the queries that read it; None: as they come. What precedes the memory,
    self-attention, is then computed once for queries that read several.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float,
        norm: NormPlace,
        first: Literal["self", "memory"],
    ) -> None:
        super().__init__()
        self.pre, self.first = norm == "pre", first
        self.attention1 = Attention(width, heads, dropout)
        self.attention2 = Attention(width, heads, dropout)
        self.ffn = FeedForward(width, hidden, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        q_BND: Tensor,
        memory_BMD: Tensor,
        position_BND: Tensor | None = None,
        roles: Tensor | None = None,
    ) -> Tensor:
        if self.first == "memory":
            (q_BND, position_BND), roles = _taken(roles, q_BND, position_BND), None
        if self.pre:
            q_BND = q_BND + self._first(self.norm1(q_BND), memory_BMD, position_BND)
            q_BND, position_BND = _taken(roles, q_BND, position_BND)
            q_BND = q_BND + self._cross(self.attention2, self.norm2(q_BND), memory_BMD, position_BND)
            out_BND: Tensor = q_BND + self.dropout(self.ffn(self.norm3(q_BND)))
            return out_BND
        q_BND = self.norm1(q_BND + self._first(q_BND, memory_BMD, position_BND))
        q_BND, position_BND = _taken(roles, q_BND, position_BND)
        q_BND = self.norm2(q_BND + self._cross(self.attention2, q_BND, memory_BMD, position_BND))
        out_BND = self.norm3(q_BND + self.dropout(self.ffn(q_BND)))
        return out_BND

    def _first(self, x_BND: Tensor, memory_BMD: Tensor, position_BND: Tensor | None) -> Tensor:
        if self.first == "memory":
            return self._cross(self.attention1, x_BND, memory_BMD, position_BND)
        qk_BND = _with(x_BND, position_BND)
        out_BND: Tensor = self.dropout(self.attention1(qk_BND, qk_BND, x_BND))
        return out_BND

    def _cross(self, attention: Attention, x_BND: Tensor, memory_BMD: Tensor, position_BND: Tensor | None) -> Tensor:
        out_BND: Tensor = self.dropout(attention(_with(x_BND, position_BND), memory_BMD, memory_BMD))
        return out_BND


def _taken(index: Tensor | None, q_BND: Tensor, position_BND: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Queries and their positions at `index` of the batch, in that order; None: all as they are."""
    if index is None:
        return q_BND, position_BND
    # Its gradient is a plain sum; that of q[index] goes the way of arbitrary indices.
    return q_BND.index_select(0, index), None if position_BND is None else position_BND.index_select(0, index)


def _with(x_BND: Tensor, position_BND: Tensor | None) -> Tensor:
    return x_BND if position_BND is None else x_BND + position_BND
