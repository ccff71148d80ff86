"""Make training samples for the starter model: outlines, lessons and quizzes in the prompts of production.

Facts come from knowledge/*.jsonl, teaching sentences from facets.txt, names of unknown topics from words.txt. About half of
the courses are about unknown topics, so that the model learns to carry a topic it has never seen from the prompt.
"""
import argparse, glob, json, os, random, re
import jinja2

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPTS = os.path.join(HERE, "..", "..", "worker", "prompts")
LIMITS = {"title": 80, "heading": 80, "summary": 240, "objective": 140, "text": 420, "key": 140, "claim": 160,
          "truth": 160, "task": 220, "solution": 220, "question": 160, "answer": 90, "wrong": 90, "explanation": 200}
AUDIENCES = """beginners|adults|nurses|pupils of 12|pupils of 15|software engineers|parents|teachers|retired people|students|hobby gardeners|
new employees|managers|children of 10|first-year students|volunteers|shop owners|farmers|designers|curious readers|office workers|
craftspeople|young people|travellers|engineers|families|apprentices|librarians|athletes|cooks|people who are new to it|everyone|
complete beginners|team leaders|secondary school pupils|home owners|musicians|small teams|scientists|drivers|sales staff""".replace("\n", "").split("|")
LEVELS = ["beginner"] * 5 + ["intermediate"] * 3 + ["advanced"] * 2 + ["Beginner", "Intermediate", "introductory"]
ANY_PART = """the choice of material|timing|the first attempt|teamwork|the surface|rhythm|balance|the right pace|planning|temperature|
light|sound|cost|patience|memory|the history|the people involved|measurement|the environment|storage|language|the basic rules|
quality|the order of work|risk|structure|movement|colour|the setting|feedback|preparation|attention to detail|the tools|scale|change|
cause and effect|good judgement|the small details|weight|shape|pressure|communication|trust|speed|numbers|the main idea""".replace("\n", "").split("|")


def load_facets():
    facets, name = {}, None
    for line in open(os.path.join(HERE, "facets.txt"), encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("== "):
            name = line[3:]
            facets[name] = {k: [] for k in "tohskmxd"}
        elif name and line:
            facets[name][line[0]] += line[4:-1].split("|") if line[0] == "h" else [line[3:]]
    return facets


def load_knowledge():
    rows = [json.loads(l) for f in sorted(glob.glob(os.path.join(HERE, "knowledge", "*.jsonl"))) for l in open(f, encoding="utf-8")]
    rows = list({r["topic"].lower(): r for r in rows}.values())
    held = [r for i, r in enumerate(rows) if i % 20 == 7]
    return [r for r in rows if r not in held], held


FACETS = load_facets()
KNOWN, HELD_KNOWN = load_knowledge()
WORDS = open(os.path.join(HERE, "words.txt"), encoding="utf-8").read().split()
ENV = jinja2.Environment(trim_blocks=False, keep_trailing_newline=False)
TEMPLATES = {n: ENV.from_string(open(os.path.join(PROMPTS, n + ".md"), encoding="utf-8").read()) for n in ("outline", "lesson", "quiz")}


def prompt(kind, **variables):
    return TEMPLATES[kind].render(**variables).strip()


def expand(rng, text, **names):
    """Pick one of every [a|b]; return the text, and for =[a|b]= the answer and its wrong alternatives."""
    found = []

    def one(m):
        options = m.group(2).split("|")
        pick = rng.choice(options)
        if m.group(1):
            found.append((pick, [o for o in options if o != pick]))
        return pick
    text = re.sub(r"(=?)\[([^\[\]]*)\]=?", one, text)
    for key, value in names.items():
        text = text.replace("{" + key + "}", value)
    return text, found[0] if found else None


def say(rng, text, **names):
    return expand(rng, text, **names)[0]


def cap(s):
    return s[:1].upper() + s[1:]


def low(s):
    return s[:1].lower() + s[1:]


ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr kr pl pr qu sh sk sl sp st str th tr tw y".split()
VOWELS = "a e i o u a e i o u ai au ea ee ie oa oo ou y é ö ü á ø".split()
CODAS = ["", "", "", "", "n", "r", "l", "s", "t", "m", "nd", "rk", "st", "ng", "ck", "x", "ll", "ñ", "rt"]


def invented(rng):
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS[:18] if rng.random() < .93 else VOWELS) + rng.choice(CODAS) for _ in range(rng.choice([1, 2, 2, 2, 3, 3])))


def piece(rng):
    r = rng.random()
    if r < .60:
        return rng.choice(WORDS)
    if r < .93:
        return invented(rng)
    if r < .96:
        return rng.choice(WORDS) + "-" + rng.choice([rng.choice(WORDS), invented(rng)])
    if r < .98:
        return rng.choice([str(rng.randint(1, 99)), str(rng.randint(1000, 2030)), "C++", "3D", "AI", "X-ray", "No. 5", "ISO 9001"])
    return "".join(rng.choice("ABCDEFGHIKLMNOPRSTUVWXYZ") for _ in range(rng.randint(2, 4)))


def unknown_topic(rng):
    n = rng.choice([1, 1, 2, 2, 2, 2, 3, 3, 3, 4])
    words = [piece(rng) for _ in range(n)]
    if n > 1 and rng.random() < .3:
        words.insert(rng.randint(1, n - 1), rng.choice(["of", "for", "in", "and", "with", "of the", "in the", "by", "as a", "for the", "at", "from"]))
    style = rng.random()
    topic = " ".join(words)
    if style < .5:
        topic = cap(topic)
    elif style < .75:
        topic = " ".join(cap(w) for w in topic.split())
    elif style < .8:
        topic = "The " + " ".join(cap(w) for w in topic.split())
    return topic if 3 <= len(topic) <= 44 and topic[0] not in ".-" else unknown_topic(rng)


def noun(rng):
    return " ".join(piece(rng).lower() for _ in range(rng.choice([1, 1, 1, 2, 2])))


NOTES = [  # what the author asks for >> how a text carries it
    ("[Use|Take|Give] [examples|an example|cases] from {N}.", ["For example, in {N} the same thing can be seen.", "An example from {N} makes this clear.", "In {N}, for example, this happens all the time.", "Think of {N}: there, too, this is true."]),
    ("[Mention|Include|Cover|Do not forget|Also mention|Talk about|Say something about] {N}.", ["Remember {N} here as well.", "This is also where {N} belongs.", "Keep {N} in mind at this point.", "Here {N} plays a part, too."]),
    ("[Link|Connect|Relate] it to {N}.", ["This is linked to {N}.", "There is a clear link to {N} here.", "People who know {N} will see the link."]),
    ("[Compare|Contrast] it with {N}.", ["Compare this with {N}.", "This differs from {N}, but the aim is similar.", "Set beside {N}, this is easy to see."]),
    ("[Focus on|Put weight on|Stress|Emphasise] {N}.", ["The weight here is on {N}.", "Above all, look at {N}.", "Here {N} comes first."]),
    ("[Keep it|Make it|It should be] {J}.", ["Keep the work {J} at this point.", "This part is meant to be {J}.", "Stay {J} while you do this."]),
]
ADJ = "short|friendly|short and friendly|practical|fun|calm|simple|hands-on|playful|serious|encouraging|safe|relaxed|exact|cheap".split("|")


def make_note(rng, second=True):
    ask, carried = rng.choice(NOTES)
    n = rng.choice(["the ", "", "", ""]) + noun(rng) if rng.random() < .75 else rng.choice(["sailing", "football", "cooking", "daily life", "the safety rules", "the costs", "music", "gardening", "sports", "school", "local history", "the workplace"])
    names = {"N": n, "J": rng.choice(ADJ)}
    note, lines = say(rng, ask, **names), [say(rng, c, **names) for c in carried]
    if second and rng.random() < .25:
        other, more = make_note(rng, False)
        return note + " " + other, lines + more
    return (note if rng.random() < .8 else note.rstrip(".")), lines


class Course:
    """The brief of one course and what its lessons can say."""

    def __init__(self, rng, held=False):
        self.rng = rng
        self.row = rng.choice(KNOWN) if rng.random() < .42 else None
        if self.row:
            t = self.row["topic"]
            r = rng.random()
            self.topic = t if r < .8 else (t.lower() if r < .93 else t.title())
        else:
            self.topic = unknown_topic(rng)
        self.audience, self.level = rng.choice(AUDIENCES), rng.choice(LEVELS)
        if rng.random() < .12:
            self.audience = rng.choice([noun(rng) + " fans", "people who like " + noun(rng), noun(rng) + " teams", "owners of a " + noun(rng)])
        self.note, self.carried = make_note(rng) if rng.random() < .34 else ("", [])
        self.base = dict(topic=self.topic, audience=self.audience, level=self.level, language="English")

    def names(self, part):
        return {"T": self.topic, "A": self.audience, "P": part or ""}

    def facets(self, n):
        """Different facets in an order from easy to hard; parts of the topic as aspects of their own."""
        rng, first, last = self.rng, ["meaning", "why", "start"], ["review", "plan", "share"]
        middle = [f for f in FACETS if f not in first + last + ["aspect"]]
        parts = [p["name"] for p in self.row["parts"]] if self.row else rng.sample(ANY_PART, 4)
        k = min(rng.choice([0, 1, 1, 2, 2, 3]), max(0, n - 2), len(parts))
        chosen = [("aspect", p) for p in rng.sample(parts, k)] + [(f, None) for f in rng.sample(middle, max(0, min(len(middle), n - k - 2)))]
        rng.shuffle(chosen)
        head, tail = rng.choice(first[:2] + ["meaning"]), rng.choice(last[:1] + last)
        return ([(head, None)] + chosen + [(tail, None)])[:n] if n > 1 else [(head, None)]

    def title(self, facet, part):
        return say(self.rng, self.rng.choice(FACETS[facet]["t"]), **self.names(part))

    def objective(self, facet, part):
        return say(self.rng, self.rng.choice(FACETS[facet]["o"]), **self.names(part)) + self.rng.choice([".", ".", "."])

    def course_title(self):
        return say(self.rng, "[A course on|An introduction to|Learning|First steps in|The basics of|A guide to|Understanding|Discovering|A practical course on|Getting started with|Exploring|A short course on] {T}", **self.names(None)) + (f" for {self.audience}" if self.rng.random() < .25 and len(self.topic + self.audience) < 45 else "")

    def facts(self, facet, part):
        """Sentences of the knowledge file that fit a facet, best first, each with a question where one can be made."""
        k, rng, T = self.row, self.rng, self.topic
        if not k:
            return []
        name = lambda p: (say(rng, "[One part of {T} is {n}, {w}|In {T}, {n} is {w}|An important part of {T} is {n}, {w}]", T=T, n=p["name"], w=p["what"]) + ".",
                          (f"In {T}, what is {p['name']}?", cap(p["what"]), [cap(q["what"]) for q in k["parts"] if q is not p] + [cap(rng.choice(rng.choice(KNOWN)["parts"])["what"])]))
        plain = lambda s: (s, None)
        order = [cap(s.rstrip(".")) for s in k["steps"]]
        steps = [(s, (say(rng, "[Which step belongs to {T}|What happens in {T}|Which sentence about {T} is true]?", T=T), cap(s.rstrip(".")), [cap(rng.choice(rng.choice(KNOWN)["steps"]).rstrip(".")) for _ in range(3)])) for s in k["steps"]]
        steps[0] = (k["steps"][0], (f"What is the first step of {T}?", order[0], (order[1:] + [cap(rng.choice(rng.choice(KNOWN)["steps"]).rstrip("."))])[:4]))
        if facet == "aspect":
            own = [p for p in k["parts"] if p["name"] == part]
            return [name(p) for p in own] + rng.sample(steps + [plain(k["example"]), plain(k["use"])], 2)
        d, w, e, u, parts = plain(k["definition"]), plain(k["why"]), plain(k["example"]), plain(k["use"]), [name(p) for p in k["parts"]]
        table = {"meaning": [d, w, rng.choice(parts)], "why": [w, u, d], "words": parts, "parts": parts, "process": steps, "start": [d] + steps[:2],
                 "example": [e, u, rng.choice(steps)], "use": [u, w, e], "review": [d, steps[-1], rng.choice(parts), w], "mistakes": [plain(k["misconception"]["truth"]), rng.choice(steps)],
                 "observe": [e, rng.choice(steps), rng.choice(parts)], "practice": [rng.choice(steps), u], "share": [d, e], "tools": [rng.choice(parts), steps[0]]}
        facts = table.get(facet) or rng.sample(parts + steps + [d, w, e, u], 2)
        return facts[:3] if facet in ("process", "meaning") else rng.sample(facts, min(3, len(facts)))


def outline(rng):
    c = Course(rng)
    n = rng.choice([3, 4, 5, 6, 6, 6, 6, 7, 7, 8, 8, 9, 10, 12])
    lessons = c.facets(n)
    while len(lessons) < n:
        extra = ("aspect", rng.choice(ANY_PART))
        if extra not in lessons:
            lessons.insert(rng.randint(1, len(lessons) - 1), extra)
    given, objectives = [], []
    if rng.random() < .25:
        given = [low_or(rng, c.objective(*rng.choice(lessons)).rstrip(".")) if rng.random() < .5 else say(rng, "[Explain|Use|Build|Describe|Compare|Find|Choose|Plan|Repair|Measure|Name|Make|Apply|Judge] [the|a|one|every] {N}[| in {T}| and {M}]", N=noun(rng), M=noun(rng), T=c.topic) for _ in range(rng.randint(1, min(4, n)))]
        given = list(dict.fromkeys(given))
    at = sorted(rng.sample(range(n), len(given))) if rng.random() < .2 else list(range(len(given)))
    titles, rows = set(), []
    for i, (f, p) in enumerate(lessons):
        title = c.title(f, p)
        objective = given[at.index(i)] if i in at else c.objective(f, p)
        if i in at:
            title = say(rng, "[How to|Learn to|A way to|Learning to] ", T=c.topic) + low(objective) if len(objective) < 55 and rng.random() < .7 else title
        if title in titles:
            return outline(rng)
        titles.add(title)
        rows.append({"title": title, "objective": objective})
    m = max(1, int(n / 3 + .5))
    sizes = [n // m + (1 if i < n % m else 0) for i in range(m)]
    names = ["Getting started with|First ideas about|The basics of|A first view of|Beginning with|The ground of", "Working with|Inside|Deeper into|How to work with|The heart of|A closer view of", "Using|Skills for|More about|Growing with|Putting to use", "Looking back on|Going further with|Mastering|The last part of|Staying with"]
    modules, k = [], 0
    for i, s in enumerate(sizes):
        slot = 0 if i == 0 else (3 if i == m - 1 and m > 2 else min(i, 2))
        modules.append({"title": rng.choice(names[slot].split("|")) + " " + c.topic, "lessons": rows[k:k + s]})
        k += s
    summary = say(rng, "[After this course|At the end|When the course is over|After the last lesson], [{A}|you|learners] [can|will be able to|know how to] [explain {T} and use it with confidence|describe {T}, avoid common errors and practise alone|work with {T} in daily life|talk about {T} and plan the next step|understand {T} and apply it step by step].", **c.names(None))
    if c.carried:
        summary += " " + rng.choice(c.carried)
    elif rng.random() < .4:
        summary += say(rng, " [The course is made for {A}.|It is written for {A} at [a|the] " + c.level.lower() + " level.|Each lesson on {T} has [one goal|its own task].]".replace("[a|the]", "the").replace("[one goal|its own task]", "one goal"), **c.names(None))
    ask = prompt("outline", **c.base, lessons=n, objectives=given, notes=c.note)
    return ask, {"title": c.course_title(), "summary": cap(summary), "modules": modules}


def low_or(rng, s):
    return s if rng.random() < .8 else low(s)


def write_lesson(rng, c=None):
    """A lesson with its prompt, and the questions that can be asked about each of its sentences."""
    c = c or Course(rng)
    total = rng.choice([3, 4, 5, 6, 6, 6, 7, 8, 9, 10, 12])
    number = rng.randint(1, total)
    facet, part = rng.choice(c.facets(total))
    f, names = FACETS[facet], c.names(part)
    title, objective = c.title(facet, part), c.objective(facet, part)
    if rng.random() < .12:
        objective = say(rng, "[Explain|Use|Build|Describe|Compare|Find|Choose|Plan|Measure|Name|Make|Apply|Judge] [the|a|one] {N}[| in {T}]", N=noun(rng), **names)
    goal = low(objective.rstrip("."))
    summary = say(rng, rng.choice(["This lesson " + rng.choice(f["d"]) + ".", "Here the course " + rng.choice(f["d"]) + ".", "A lesson that " + rng.choice(f["d"]) + " for {A}."]), **names)
    summary += say(rng, rng.choice([" [You|At the end you] learn to {O}.", " [Your|The] goal is to {O}.", " [Afterwards|At the end|Soon] you can {O}.", " It helps {A} to {O}."]), O=goal, **names) if rng.random() < .8 else ""
    sentences, facts = rng.sample(f["s"], 6), c.facts(facet, part)
    heads, questions, sections = rng.sample(f["h"], 3), [], []
    carried = rng.sample(c.carried, min(len(c.carried), rng.choice([1, 2, 2]))) if c.carried else []
    spots = rng.sample(range(3), len(carried)) if len(carried) <= 3 else [0, 1, 2]
    for i in range(3):
        here = []
        if i < len(facts):
            text, q = facts[i]
            here.append(text)
            if q:
                questions.append((text,) + q)
        for s in sentences[2 * i:2 * i + (1 if i < len(facts) and rng.random() < .7 else 2)]:
            text, ask = s.split(" ?? ")
            text, (answer, wrong) = expand(rng, text, **names)
            here.append(text)
            fill = lambda x: say(rng, x, **names)
            questions.append((text, say(rng, ask, **names), cap(fill(answer)), [cap(fill(w)) for w in wrong]))
        if i in spots:
            here.insert(rng.randint(1, len(here)), carried[spots.index(i)])
        sections.append({"heading": say(rng, heads[i], **names), "text": " ".join(cap(x) for x in here)})
    points = [say(rng, k, **names) for k in rng.sample(f["k"], 3)]
    if facts and rng.random() < .6:
        points[rng.randrange(3)] = rng.choice(facts)[0]
    claim, truth = say(rng, rng.choice(f["m"]), **names).split(" >> ")
    task, solution = say(rng, rng.choice(f["x"]), **names).split(" >> ")
    if c.row and facet in ("mistakes", "meaning", "aspect", "review", "words") and rng.random() < .6:
        claim, truth = c.row["misconception"]["claim"], c.row["misconception"]["truth"]
    if c.row and facet in ("practice", "use", "start", "observe", "example", "process", "aspect", "check") and rng.random() < .6:
        task, solution = c.row["exercise"]["task"], c.row["exercise"]["solution"]
    answer = {"summary": cap(summary), "sections": sections, "key_points": [cap(p) for p in points],
              "misconception": {"claim": cap(claim), "truth": cap(truth)}, "exercise": {"task": cap(task), "solution": cap(solution)}}
    ask = prompt("lesson", **c.base, notes=c.note, course=c.course_title(), lesson=title, objective=objective, number=number, total=total)
    return ask, answer, questions, c, title, objective


def lesson(rng):
    return write_lesson(rng)[:2]


def quiz(rng):
    _, body, questions, c, title, objective = write_lesson(rng)
    text = " ".join([body["summary"]] + [s["text"] for s in body["sections"]] + body["key_points"])
    if len(text) > 900:
        text = text[:900]
        text = text[:text.rfind(". ") + 1]
    if c.row:
        known = set(re.findall(r"\w{4,}", text.lower()))
        for q in c.row["questions"]:
            words = re.findall(r"\w{4,}", q["a"].lower())
            if words and sum(w in known for w in words) >= .7 * len(words):
                source = max(re.split(r"(?<=\.) ", text), key=lambda s: len(set(words) & set(re.findall(r"\w{4,}", s.lower()))))
                questions.append((source, q["q"], q["a"], q["wrong"]))
    questions = [q for q in questions if cap(q[0]) in text or q[0] in text]
    rng.shuffle(questions)
    items, seen = [], set()
    for source, ask, right, wrong in questions:
        wrong = list(dict.fromkeys(w for w in wrong if w.lower() != right.lower()))
        if len(wrong) < 3 or ask in seen or right in seen:
            continue
        seen |= {ask, right}
        wrong = rng.sample(wrong, 3)
        lead = say(rng, "[The lesson says|The text says|It is written in the lesson|This is in the text|As the lesson says]: ")
        why = lead + cap(source)
        items.append({"question": cap(ask), "answer": right, "wrong": wrong, "explanation": why})
    if len(items) < 3:
        return quiz(rng)
    return prompt("quiz", **c.base, lesson=title, objective=objective, text=text), {"items": items[:3]}


def fits(value, key=None):
    if isinstance(value, dict):
        return all(fits(v, k) for k, v in value.items())
    if isinstance(value, list):
        return all(fits(v, "key" if key == "key_points" else key) for v in value)
    return len(value) <= LIMITS[key] and "{" not in value and "[" not in value


def sample(rng, kind=None):
    """One (kind, prompt, answer) whose strings stay inside the limits."""
    kind = kind or rng.choices(["outline", "lesson", "quiz"], [3, 4, 3])[0]
    while True:
        ask, answer = globals()[kind](rng)
        if fits(answer):
            return kind, ask, json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--count", type=int, default=3)
    args.add_argument("--kind", choices=["outline", "lesson", "quiz"])
    args = args.parse_args()
    rng = random.Random(args.seed)
    for _ in range(args.count):
        kind, ask, answer = sample(rng, args.kind)
        print(f"=== {kind}\n{ask}\n---\n{answer}\n")


if __name__ == "__main__":
    main()
