"""Write tiny random Gemma 3 checkpoints and the logits that transformers computes for them.

    pip install torch transformers safetensors gguf numpy
    python make_reference.py            # rewrites the files beside this script

Two models: kv1 has one kv head, f32 and tied embeddings, config.json as transformers 5 writes it,
is trained for a minute and comes again as GGUF in Q8_0; kv4 has four kv heads, bf16 and a head of its own, nested and in
two shards as transformers 4 wrote 4B and up. `ids` and `logits` cover three windows. Vocabulary,
widths and window are small, so that all files together stay below 400 kB.
"""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

HERE = Path(__file__).parent
WINDOW = 16
LENGTH = 3 * WINDOW
BATCH = 3


def make(kv_heads, pattern, scalar, dtype):
    torch.manual_seed(kv_heads)
    kinds = ["full_attention" if (i + 1) % pattern == 0 else "sliding_attention" for i in range(3)]
    config = Gemma3TextConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=kv_heads, head_dim=8,
        query_pre_attn_scalar=scalar, sliding_window=WINDOW, max_position_embeddings=256,
        rms_norm_eps=1e-6, attn_implementation="eager", tie_word_embeddings=dtype == torch.float32,
        layer_types=kinds,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    )
    model = Gemma3ForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(0, 0.1 if "norm" in name else 0.15)
            weight.copy_(weight.to(dtype).float())
    return config, model


def walk(batch, length):
    """Token sequences in which the next token is mostly decided by the last one."""
    follower = torch.randperm(96, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(0, 96, (batch, length))
    for position in range(1, length):
        follows = torch.rand(batch) < 0.8
        ids[follows, position] = follower[ids[follows, position - 1]]
    return ids


def train(model, steps=400):
    """Makes choices clear, as those of real models are: the top token of random weights is a toss-up.

    Label smoothing keeps the logits in the range of 1 to 10.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        ids = walk(16, LENGTH)
        logits = model(ids).logits[:, :-1].reshape(-1, 96)
        loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:].reshape(-1), label_smoothing=0.5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"loss {loss.item():.3f}")


def reference(model):
    torch.manual_seed(7)
    ids = walk(BATCH, LENGTH)
    with torch.no_grad():
        return {"ids": ids.to(torch.int64), "logits": model(ids).logits.float().contiguous()}


def config_of_transformers_4(config):
    """What transformers 4 wrote for the same model, nested as in multimodal files."""
    keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "query_pre_attn_scalar", "sliding_window",
            "max_position_embeddings", "rms_norm_eps"]
    text = {key: getattr(config, key) for key in keys}
    text |= {"model_type": "gemma3_text", "sliding_window_pattern": 3, "rope_theta": 1e6,
             "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    return {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": text}


def save_plain(folder, config, model):
    """As transformers 5: one file, names as the text model has them."""
    folder.mkdir(exist_ok=True)
    state = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    del state["lm_head.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    text = json.loads(config.to_json_string())
    (folder / "config.json").write_text(json.dumps(text, indent=1) + "\n")


def save_nested(folder, config, model):
    """As transformers 4 writes 4B and up: nested names, two shards and an index."""
    folder.mkdir(exist_ok=True)
    state = {f"language_model.{name}": weight.bfloat16().contiguous() for name, weight in model.state_dict().items()}
    names = sorted(state)
    halves = [names[: len(names) // 2], names[len(names) // 2:]]
    index = {}
    for number, half in enumerate(halves, 1):
        shard = f"model-{number:05}-of-00002.safetensors"
        save_file({name: state[name] for name in half}, folder / shard, metadata={"format": "pt"})
        index |= dict.fromkeys(half, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}, indent=1) + "\n")
    (folder / "config.json").write_text(json.dumps(config_of_transformers_4(config), indent=1) + "\n")


PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd", "model.norm": "output_norm",
}


def save_gguf(path, config, model, pattern):
    """The keys and names of llama.cpp; norms are stored with the one added."""
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_sliding_window(config.sliding_window)
    writer.add_uint32("gemma3.attention.sliding_window_pattern", pattern)
    writer.add_rope_freq_base(1e6)
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(8.0)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        name = name.removesuffix(".weight")
        if name.startswith("model.layers."):
            layer, part = name.removeprefix("model.layers.").split(".", 1)
            target = f"blk.{layer}.{PARTS[part]}.weight"
        else:
            target = f"{PARTS[name]}.weight"
        array = weight.numpy()
        if array.ndim == 1:
            writer.add_tensor(target, (array + 1).astype(np.float32))
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(target, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    config, model = make(kv_heads=1, pattern=2, scalar=8, dtype=torch.float32)
    train(model)
    save_plain(HERE / "kv1", config, model)
    save_gguf(HERE / "kv1" / "model-q8_0.gguf", config, model, pattern=2)
    save_file(reference(model), HERE / "kv1" / "reference.safetensors")
    config, model = make(kv_heads=4, pattern=3, scalar=24, dtype=torch.bfloat16)
    save_nested(HERE / "kv4", config, model)
    save_file(reference(model), HERE / "kv4" / "reference.safetensors")


if __name__ == "__main__":
    main()
