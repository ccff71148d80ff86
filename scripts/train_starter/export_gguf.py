"""Write a checkpoint of the starter model as a GGUF: Q8_0 matrices, F32 norms, and the tokenizer as Gemma files carry it."""
import argparse, json, os
import gguf, numpy, torch
from tokenizer import BYTES, CONTROL
from model import Config, Gemma3

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "post_feedforward_layernorm": "post_ffw_norm"}
TEMPLATE = ("{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) "
            "+ '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}")


def name_of(key):
    if not key.startswith("layers."):
        return {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[key]
    _, n, rest = key.split(".", 2)
    return f"blk.{n}.{NAMES[rest.removesuffix('.weight')]}.weight"


def write(path, weights, c, tokens, scores):
    w = gguf.GGUFWriter(path, "gemma3")
    w.add_name("lyo-starter")
    w.add_license("MIT OR Apache-2.0")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_context_length(c.context)
    w.add_embedding_length(c.hidden)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.ffn)
    w.add_head_count(c.heads)
    w.add_head_count_kv(1)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_rope_freq_base(1e6)
    w.add_sliding_window(c.window)
    w.add_uint32("gemma3.attention.sliding_window_pattern", c.pattern)
    w.add_vocab_size(c.vocab)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_scores(scores)
    kinds = [3, 3, 3, 2, 3, 3] + [6] * len(BYTES) + [1] * (len(tokens) - len(CONTROL) - len(BYTES))
    w.add_token_types(kinds)
    w.add_bos_token_id(2)
    w.add_eos_token_id(1)
    w.add_pad_token_id(0)
    w.add_unk_token_id(3)
    w.add_uint32("tokenizer.ggml.eot_token_id", 5)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(TEMPLATE)
    for key, value in weights.items():
        value = value.float().numpy()
        if value.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(name_of(key), gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            w.add_tensor(name_of(key), (value + 1).astype(numpy.float32))  # llama.cpp stores norms with the one added
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--run", required=True, help="folder of tokenizer.json and checkpoint.pt")
    args.add_argument("--out", required=True)
    args.add_argument("--raw", action="store_true", help="the last weights instead of their running mean")
    args = args.parse_args()
    kept = torch.load(os.path.join(args.run, "checkpoint.pt"), weights_only=False, map_location="cpu")
    made = json.load(open(os.path.join(args.run, "tokenizer.json"), encoding="utf-8"))
    c = Config(**kept["config"])
    Gemma3(c).load_state_dict(kept["model"])
    write(args.out + ".new", kept["model" if args.raw else "smooth"], c, made["tokens"], made["scores"])
    os.replace(args.out + ".new", args.out)
    print(f"{args.out}: step {kept['step']}, {kept['tokens']} tokens, loss {kept['loss']:.3f}, {os.path.getsize(args.out)} bytes")


if __name__ == "__main__":
    main()
