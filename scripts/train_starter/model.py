"""Gemma 3 in plain torch, small and quick on a CPU; the parameters carry the names of transformers.

Run this file to compare it with transformers' own Gemma3ForCausalLM on random weights.
"""
import argparse, dataclasses
import torch
from torch import nn
from torch.nn import functional as F


@dataclasses.dataclass
class Config:
    vocab: int = 4096
    hidden: int = 192
    layers: int = 6
    heads: int = 4
    head_dim: int = 48
    ffn: int = 512
    window: int = 512
    pattern: int = 3  # every third layer sees everything
    context: int = 1024
    eps: float = 1e-6

    def is_global(self, layer):
        return (layer + 1) % self.pattern == 0


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.zeros(size)), eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), 1 + self.weight, self.eps)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.hidden, c.heads * c.head_dim, bias=False)
        self.k_proj = nn.Linear(c.hidden, c.head_dim, bias=False)
        self.v_proj = nn.Linear(c.hidden, c.head_dim, bias=False)
        self.o_proj = nn.Linear(c.heads * c.head_dim, c.hidden, bias=False)
        self.q_norm, self.k_norm = Norm(c.head_dim, c.eps), Norm(c.head_dim, c.eps)

    def forward(self, x, rope, mask):
        n, length, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(n, length, self.c.heads, -1)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(n, length, 1, -1)).transpose(1, 2)
        v = self.v_proj(x).view(n, length, 1, -1).transpose(1, 2).expand(-1, self.c.heads, -1, -1)
        q, k = rotate(q, *rope), rotate(k, *rope).expand(-1, self.c.heads, -1, -1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.o_proj(y.transpose(1, 2).reshape(n, length, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(c.hidden, c.ffn, bias=False), nn.Linear(c.hidden, c.ffn, bias=False)
        self.down_proj = nn.Linear(c.ffn, c.hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), Mlp(c)
        self.input_layernorm, self.post_attention_layernorm = Norm(c.hidden, c.eps), Norm(c.hidden, c.eps)
        self.pre_feedforward_layernorm, self.post_feedforward_layernorm = Norm(c.hidden, c.eps), Norm(c.hidden, c.eps)

    def forward(self, x, rope, mask):
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), rope, mask))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class Gemma3(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c.vocab, c.hidden)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = Norm(c.hidden, c.eps)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 if p.shape[0] == c.vocab else c.hidden ** -0.5)
        for theta, name in ((1e4, "local"), (1e6, "global")):
            angles = torch.arange(c.context)[:, None] * theta ** (-torch.arange(0, c.head_dim, 2) / c.head_dim)
            angles = torch.cat((angles, angles), -1)
            self.register_buffer(name + "_cos", angles.cos(), persistent=False)
            self.register_buffer(name + "_sin", angles.sin(), persistent=False)

    def hidden(self, ids):
        """The normed hidden states; padding stands at the right, so the causal mask is all the mask there is."""
        length, mask = ids.shape[1], None
        rope = {g: (getattr(self, g + "_cos")[:length], getattr(self, g + "_sin")[:length]) for g in ("local", "global")}
        if length > self.c.window:
            i = torch.arange(length)
            mask = (i[:, None] >= i) & (i[:, None] - i < self.c.window)
        x = self.embed_tokens(ids) * self.c.hidden ** 0.5
        for n, layer in enumerate(self.layers):
            x = layer(x, rope["global"], None) if self.c.is_global(n) else layer(x, rope["local"], mask)
        return self.norm(x)

    def forward(self, ids):
        return self.hidden(ids) @ self.embed_tokens.weight.T


def huggingface(c):
    """The same architecture in transformers, to check against and to sample from with a cache."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig
    kinds = ["full_attention" if c.is_global(n) else "sliding_attention" for n in range(c.layers)]
    config = Gemma3TextConfig(
        vocab_size=c.vocab, hidden_size=c.hidden, intermediate_size=c.ffn, num_hidden_layers=c.layers, num_attention_heads=c.heads,
        num_key_value_heads=1, head_dim=c.head_dim, max_position_embeddings=c.context, sliding_window=c.window, layer_types=kinds,
        query_pre_attn_scalar=c.head_dim, rms_norm_eps=c.eps, tie_word_embeddings=True, attn_implementation="sdpa",
        rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}},
        pad_token_id=0, eos_token_id=[1, 5], bos_token_id=2)
    return Gemma3ForCausalLM(config).eval()


def to_huggingface(model):
    other = huggingface(model.c)
    weights = {"model." + k: v for k, v in model.state_dict().items()}
    missing, extra = other.load_state_dict(weights, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not extra, (missing, extra)
    return other


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.manual_seed(0)
    model = Gemma3(Config()).eval()
    for p in model.parameters():
        if p.dim() == 1:
            nn.init.normal_(p, std=0.2)
    other = to_huggingface(model)
    with torch.no_grad():
        for length in (7, 512, 513, 900):
            ids = torch.randint(6, 4096, (2, length))
            print(length, (model(ids) - other(ids).logits).abs().max().item())
    print(sum(p.numel() for p in model.parameters()), "parameters")


if __name__ == "__main__":
    main()
