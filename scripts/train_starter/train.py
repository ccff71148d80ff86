"""Train the starter model on samples made on the fly; stops and resumes at a checkpoint.

The learning rate is warmed up, held, and lowered to zero over the last part of the time given (--minutes of training in
all, counted over every resumption). Matrices are trained with Muon, the rest with Adam. Loss is on the answer alone.
"""
import argparse, copy, dataclasses, os, random, time
import torch
from torch.nn import functional as F
import corpus, tokenizer
from tokenizer import BYTES, CONTROL
from model import Config, Gemma3


def encode(tok, ask, answer):
    """The ids of one chat and the place where learning begins: at the lines of the prompt that repeat others, else at the answer."""
    text = f"<bos><start_of_turn>user\n{ask}<end_of_turn>\n<start_of_turn>model\n"
    cut = max(text.find("\nCourse: "), text.find("\nLesson: "))
    parts = [text[:cut], text[cut:]] if cut > 0 else [text]
    a = [tok.encode(p, add_special_tokens=False).ids for p in parts]
    b = tok.encode(answer + "<end_of_turn>", add_special_tokens=False).ids
    return sum(a, []) + b, len(a[0])


def batches(tok, rng, size, context, pool=240):
    """Batches of about `size` padded tokens, of samples of like length."""
    while True:
        rows = [encode(tok, *corpus.sample(rng)[1:]) for _ in range(pool)]
        rows = sorted((r for r in rows if len(r[0]) <= context), key=lambda r: len(r[0]))
        groups, group = [], []
        for row in rows:
            if group and (len(group) + 1) * len(row[0]) > size:
                groups.append(group)
                group = []
            group.append(row)
        rng.shuffle(groups)
        for group in groups:
            width = len(group[-1][0])
            ids, wanted = torch.zeros(len(group), width, dtype=torch.long), torch.zeros(len(group), width - 1, dtype=torch.bool)
            for i, (row, begin) in enumerate(group):
                ids[i, :len(row)] = torch.tensor(row)
                wanted[i, begin - 1:len(row) - 1] = True
            yield ids, wanted


def echoes(generator, vocab, rows, width=72):
    """Random tokens said again and again: the shortest way to teach a model to copy what it has never seen."""
    ids = torch.zeros(rows, width, dtype=torch.long)
    wanted = torch.zeros(rows, width - 1, dtype=torch.bool)
    for row, want in zip(ids, wanted):
        length = int(torch.randint(3, width // 2, (1,), generator=generator))
        said = torch.randint(len(CONTROL) + len(BYTES), vocab, (length,), generator=generator)
        row[:] = said.repeat(width // length + 1)[:width]
        want[length:] = True
    return ids, wanted


@torch.no_grad()
def orthogonal(g, steps=5):
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return x


class Muon:
    """Momentum whose update is made orthogonal; matrices of one shape are handled together."""

    def __init__(self, parameters, momentum=0.95):
        self.groups, self.momentum = {}, momentum
        for p in parameters:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.state = {s: torch.zeros(len(ps), *s) for s, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, lr, decay=0.02):
        for shape, ps in self.groups.items():
            g = torch.stack([p.grad for p in ps])
            m = self.state[shape].lerp_(g, 1 - self.momentum)
            u = g.lerp(m, self.momentum)
            u = orthogonal(u) if shape[0] <= shape[1] else orthogonal(u.mT).mT
            for p, d in zip(ps, u):
                p.mul_(1 - lr * decay).add_(d, alpha=-lr * max(1, shape[0] / shape[1]) ** 0.5)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--run", required=True, help="folder of tokenizer.json and the checkpoints")
    args.add_argument("--minutes", type=float, default=85)
    args.add_argument("--decay", type=float, default=0.35, help="share of the time in which the rate falls")
    args.add_argument("--batch", type=int, default=5000, help="padded tokens a step")
    args.add_argument("--muon", type=float, default=0.02)
    args.add_argument("--adam", type=float, default=0.003)
    args.add_argument("--seed", type=int, default=7)
    args.add_argument("--steps", type=int, default=10 ** 9, help="stop early: for a test of speed")
    for f in dataclasses.fields(Config):
        args.add_argument("--" + f.name, type=type(f.default), default=f.default, help=argparse.SUPPRESS)
    args = args.parse_args()
    torch.set_num_threads(2)
    path, log = os.path.join(args.run, "checkpoint.pt"), open(os.path.join(args.run, "train.log"), "a", buffering=1)
    tok = tokenizer.load(os.path.join(args.run, "tokenizer.json"))
    kept = torch.load(path, weights_only=False) if os.path.exists(path) else None
    c = Config(**kept["config"]) if kept else Config(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Config)})
    torch.manual_seed(args.seed)
    model = Gemma3(c)
    smooth = copy.deepcopy(model)
    matrices = [p for p in model.layers.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() == 1 or p is model.embed_tokens.weight]
    muon, adam = Muon(matrices), torch.optim.AdamW(others, lr=args.adam, betas=(0.9, 0.98), weight_decay=0.0)
    step, tokens, spent, loss_mean = 0, 0, 0.0, 0.0
    if kept:
        model.load_state_dict(kept["model"]), smooth.load_state_dict(kept["smooth"]), adam.load_state_dict(kept["adam"])
        muon.state, step, tokens, spent, loss_mean = kept["muon"], kept["step"], kept["tokens"], kept["spent"], kept["loss"]
    feed = batches(tok, random.Random(f"{args.seed}-{step}"), args.batch, c.context)
    saved = last = time.time()
    begun = spent
    generator, echo = torch.Generator().manual_seed(args.seed + step), 9.0
    loss_of = lambda ids, wanted: F.cross_entropy(model.hidden(ids[:, :-1])[wanted] @ model.embed_tokens.weight.T, ids[:, 1:][wanted])
    for ids, wanted in feed:
        rate = min(1, (step + 1) / 60, max(0.0, 1 - spent / (args.minutes * 60)) / args.decay)
        loss = loss_of(ids, wanted)
        loss.backward()
        if echo > 0.3 or step % 10 == 0:  # until it can copy, then now and then
            copied = loss_of(*echoes(generator, c.vocab, 16))
            (0.5 * copied).backward()
            echo = copied.item() if echo == 9.0 else 0.9 * echo + 0.1 * copied.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.param_groups[0]["lr"] = args.adam * rate
        adam.step()
        muon.step(args.muon * rate)
        model.zero_grad()
        step, tokens = step + 1, tokens + ids.numel()
        loss_mean = loss.item() if step == 1 else 0.98 * loss_mean + 0.02 * loss.item()
        with torch.no_grad():
            for a, b in zip(smooth.parameters(), model.parameters()):
                a.lerp_(b, min(0.01, 1 - rate * 0.99 if rate < 0.1 else 0.01) if step > 100 else 0.2)
        spent, last = spent + time.time() - last, time.time()
        if step % 20 == 0:
            log.write(f"step {step} tokens {tokens} spent {spent:.0f}s {tokens / spent:.0f}/s loss {loss.item():.3f} mean {loss_mean:.3f} rate {rate:.3f} echo {echo:.2f}\n")
        done = spent >= args.minutes * 60 or step >= args.steps
        if time.time() - saved > 120 or done:
            state = {"config": dataclasses.asdict(c), "model": model.state_dict(), "smooth": smooth.state_dict(), "adam": adam.state_dict(),
                     "muon": muon.state, "step": step, "tokens": tokens, "spent": spent, "loss": loss_mean}
            torch.save(state, path + ".new")
            os.replace(path + ".new", path)
            saved = time.time()
        if done:
            break


if __name__ == "__main__":
    main()
