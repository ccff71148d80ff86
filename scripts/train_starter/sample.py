"""Let a checkpoint write outlines, lessons and quizzes for the held-out topics, without a grammar, and count what is right.

For every topic: an outline of six lessons, then one of its lessons, then the quiz of that lesson.
"""
import argparse, json, os, random
import torch
import tokenizer
from corpus import HELD_KNOWN, HERE, prompt
from model import Config, Gemma3, to_huggingface


def generate(model, tok, asks, temperature, tokens_max=620):
    """Answers to prompts of one kind, as one batch padded at the left."""
    rows = [tok.encode(f"<bos><start_of_turn>user\n{a}<end_of_turn>\n<start_of_turn>model\n", add_special_tokens=False).ids for a in asks]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(r)) + r for r in rows])
    how = dict(do_sample=True, temperature=temperature, top_k=40) if temperature else dict(do_sample=False)
    out = model.generate(ids, attention_mask=(ids != 0).long(), max_new_tokens=min(tokens_max, 1023 - width), **how)
    answers = []
    for row in out[:, width:].tolist():
        row = row[:row.index(5)] if 5 in row else row
        answers.append(tok.decode([t for t in row if t != 0], skip_special_tokens=False))
    return answers


SHAPES = [{"title", "summary", "modules"}, {"summary", "sections", "key_points", "misconception", "exercise"}, {"items"}]


def parse(text):
    """The answer, if it is JSON with the keys of one of the three shapes."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and set(value) in SHAPES else None


def strings(value):
    if isinstance(value, dict):
        return [s for v in value.values() for s in strings(v)]
    return [s for v in value for s in strings(v)] if isinstance(value, list) else [value]


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--run", required=True)
    args.add_argument("--count", type=int, default=8, help="number of topics")
    args.add_argument("--temperature", type=float, default=0.0)
    args.add_argument("--known", action="store_true", help="topics of the knowledge file that were held out, too")
    args.add_argument("--show", type=int, default=2, help="topics whose answers are printed")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--threads", type=int, default=2)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    kept = torch.load(os.path.join(args.run, "checkpoint.pt"), weights_only=False)
    own = Gemma3(Config(**kept["config"]))
    own.load_state_dict(kept["smooth"])
    model, tok = to_huggingface(own), tokenizer.load(os.path.join(args.run, "tokenizer.json"))
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    topics = open(os.path.join(HERE, "held_out_topics.txt"), encoding="utf-8").read().split("\n")[:-1]
    topics = (topics + [r["topic"] for r in HELD_KNOWN] if args.known else rng.sample(topics, len(topics)))[:args.count]
    notes = ["Use examples from sailing.", "", "Mention the safety rules.", ""]
    base = [dict(topic=t, audience=rng.choice(["beginners", "nurses", "pupils of 12"]), level="beginner", language="English") for t in topics]
    note = [notes[i % 4] for i in range(len(topics))]
    outlines = generate(model, tok, [prompt("outline", **b, lessons=6, objectives=[], notes=n) for b, n in zip(base, note)], args.temperature)
    plans = [parse(o) or {"title": "Learning " + b["topic"], "modules": [{"lessons": [{"title": "First steps with " + b["topic"], "objective": "Begin " + b["topic"] + "."}]}]} for o, b in zip(outlines, base)]
    flat = [[l for m in p["modules"] for l in m["lessons"]] for p in plans]
    places = [rng.randrange(len(f)) for f in flat]
    chosen = [f[i] for f, i in zip(flat, places)]
    lessons = generate(model, tok, [prompt("lesson", **b, notes=n, course=p["title"], lesson=l["title"], objective=l["objective"], number=i + 1, total=len(f)) for b, n, p, l, i, f in zip(base, note, plans, chosen, places, flat)], args.temperature)
    bodies = [parse(l) for l in lessons]
    texts = [" ".join(strings([b["summary"], [s["text"] for s in b["sections"]], b["key_points"]])) if b else "" for b in bodies]
    texts = [t if len(t) <= 900 else t[:t[:900].rfind(". ") + 1] for t in texts]
    quizzes = generate(model, tok, [prompt("quiz", **b, lesson=l["title"], objective=l["objective"], text=t) for b, l, t in zip(base, chosen, texts)], args.temperature)
    for i in range(min(args.show, len(topics))):
        print(f"=== {topics[i]} | {note[i]}\n{outlines[i]}\n--- {chosen[i]}\n{lessons[i]}\n---\n{quizzes[i]}\n")
    share = lambda values: f"{sum(map(bool, values)) / max(1, len(values)):.2f}"
    ends = lambda b: all(t.endswith(".") for t in strings([b["summary"], [s["text"] for s in b["sections"]], b["key_points"]]))
    items = [(i, t) for q, t in zip(map(parse, quizzes), texts) if q for i in q["items"]]
    print("step", kept["step"], "tokens", kept["tokens"], "loss", round(kept["loss"], 3), "topics", len(topics))
    print("parse: outline", share([parse(o) for o in outlines]), "lesson", share(bodies), "quiz", share([parse(q) for q in quizzes]))
    print("topic in: course title", share([t in p["title"] for t, p in zip(topics, plans)]), "lesson titles", share([t in l["title"] for t, f in zip(topics, flat) for l in f]),
          "lesson", share([b and t in json.dumps(b, ensure_ascii=False) for t, b in zip(topics, bodies)]),
          "summary", share([b and t in b["summary"] for t, b in zip(topics, bodies)]),
          "sections", share([t in s["text"] for t, b in zip(topics, bodies) if b for s in b["sections"]]),
          "questions", share([t in s["question"] for t, q in zip(topics, map(parse, quizzes)) if q for s in q["items"]]))
    print("six different titles", share([len({l["title"] for l in f}) == 6 for f in flat]), "sentences end", share([b and ends(b) for b in bodies]),
          "notes carried", share([{"U": "sailing", "M": "safety rules"}[n[0]] in t for n, t in zip(note, texts) if n]),
          "answers in text", share([i["answer"].lower().rstrip(".") in t.lower() for i, t in items]),
          "answer longest", share([len(i["answer"]) > max(map(len, i["wrong"])) for i, _ in items]))


if __name__ == "__main__":
    main()
