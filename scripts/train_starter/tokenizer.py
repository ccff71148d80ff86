"""Train the tokenizer of the starter model and rebuild it from scores, as the loader of a GGUF does.

What is shipped is a list of tokens with scores. The merges follow from it: every split of a token into two tokens is a
merge, ordered by the score of the result, then by the ids of its parts. Training uses this rebuilt tokenizer.
"""
import argparse, json, random
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, decoders, trainers

CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
WORDS = "▁?[\\p{L}\\p{M}'’]+|\\p{N}|▁|[^\\p{L}\\p{N}▁]"  # a word with the space before it; digits and punctuation alone


def tokenizer_from_scores(tokens, scores):
    ids = {t: i for i, t in enumerate(tokens)}
    special = len(CONTROL) + len(BYTES)
    merges = []
    for i, token in enumerate(tokens[special:], special):
        for cut in range(1, len(token)):
            left, right = ids.get(token[:cut]), ids.get(token[cut:])
            if left is not None and right is not None:
                merges.append((-scores[i], left, right))
    merges = [(tokens[l], tokens[r]) for _, l, r in sorted(merges)]
    t = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.add_special_tokens([AddedToken(c, special=True, normalized=False) for c in CONTROL])
    return t


def load(path):
    d = json.load(open(path, encoding="utf-8"))
    return tokenizer_from_scores(d["tokens"], d["scores"])


def train(texts, size):
    t = Tokenizer(models.BPE(unk_token=None))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), "isolated")
    letters = [chr(c) for c in range(33, 127)] + list("▁\n’–éèêëáàâäãåóòôöõøúùûüíìîïñçßæœšžčćřłńęąőűÉÖÜÅØ")
    room = size - len(CONTROL) - len(BYTES)
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=room, initial_alphabet=letters, limit_alphabet=len(letters), show_progress=False))
    model = json.loads(t.to_str())["model"]
    made = ["".join(m) for m in model["merges"]]
    singles = sorted(x for x in model["vocab"] if len(x) == 1)
    learned = list(dict.fromkeys(made)) + singles
    tokens = CONTROL + BYTES + learned
    scores = [0.0] * (len(CONTROL) + len(BYTES)) + [-float(i) for i in range(len(learned))]
    return tokens, scores


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--out", required=True, help="a JSON file with tokens and scores")
    args.add_argument("--size", type=int, default=4096)
    args.add_argument("--samples", type=int, default=12000)
    args = args.parse_args()
    import corpus
    rng, texts = random.Random(99), []
    for _ in range(args.samples):
        _, ask, answer = corpus.sample(rng)
        texts.append(ask.split("\n\n", 1)[1] + "\n" + answer)
    texts += [w for w in corpus.WORDS for _ in range(3)] + [" " + w for w in corpus.WORDS for _ in range(6)]
    texts += corpus.prompt("lesson").split("\n") * 50
    tokens, scores = train(texts, args.size)
    json.dump({"tokens": tokens, "scores": scores}, open(args.out, "w", encoding="utf-8"), ensure_ascii=False)
    t = tokenizer_from_scores(tokens, scores)
    for text in ["You can learn Kintsugi pottery repair.", "Crème brûlée in 1999 \"x\":{", texts[0]]:
        e = t.encode(text, add_special_tokens=False)
        assert t.decode(e.ids, skip_special_tokens=False) == text, (text, t.decode(e.ids))
        print(len(text), len(e.ids), e.tokens[:40])
    print(len(tokens), "tokens")


if __name__ == "__main__":
    main()
