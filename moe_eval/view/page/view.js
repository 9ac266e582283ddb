// Runs as cards, those that were asked the same side by side. The server tells what is new; EventSource connects again by itself.

const STATES = {
  running: "running",
  silent: "no answer since",
  stopped: "stopped",
  answered: "all answered, not scored",
  finished: "finished",
  broken: "damaged",
  deleted: "its folder is gone",
};

const runs = new Map(); // what the server told, by name
const cards = new Map();
const sets = new Map();

function duration(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function rateText(perSecond) {
  return perSecond >= 1 ? `${perSecond.toFixed(1)} answers/s` : `${(1 / perSecond).toFixed(1)} s per answer`;
}

function stateText(run) {
  return run.state === "silent" ? `no answer for ${duration(Math.max(0, Date.now() / 1000 - run.since))}` : STATES[run.state];
}

function reportAddress(names) {
  return `report?${new URLSearchParams(names.map((name) => ["run", name]))}`;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// From 0 to the best there can be, so that numbers of runs side by side can be seen against each other.
function strip(score) {
  const place = (value) => `${Math.min(100, Math.max(0, (100 * value) / score.most))}%`;
  const picture = svg("svg", { "aria-hidden": "true" });
  picture.append(svg("line", { class: "rail", x1: 0, x2: "100%", y1: 8, y2: 8 }));
  if (score.low !== null) picture.append(svg("line", { class: "whisker", x1: place(score.low), x2: place(score.high), y1: 8, y2: 8 }));
  picture.append(svg("circle", { cx: place(score.value), cy: 8, r: 5 }));
  return h("div", { class: "strip" }, picture, h("div", { class: "ends" }, h("span", {}, "0"), h("span", {}, score.most.toLocaleString("en"))));
}

function scoreParts(run) {
  const score = run.score;
  if (!score) return [];
  const line = h(
    "div",
    { class: "score-line" },
    h("span", { class: "number" }, score.text),
    h("span", { class: "quiet" }, score.interval),
    h("span", { class: "metric quiet small" }, score.metric),
  );
  const soFar = run.state === "finished" ? null : h("p", { class: "quiet small" }, `so far, of ${count(score.questions, "answer")} ${run.until ? "to pictures in random order" : "in the order of the data"}; groups count once they are whole`);
  return [line, score.value === null ? null : strip(score), soFar];
}

function answerItem(run, answer) {
  const query = new URLSearchParams({ run: run.name, answer: answer.id });
  const outcome = outcomeOf(answer.worth);
  const shot = answer.pictures ? h("img", { class: "shot", src: `picture?${query}`, alt: "", loading: "lazy" }) : h("span", { class: "shot" });
  const words = h("div", {}, h("div", { class: "asked" }, answer.question ?? answer.id), h("div", { class: "said" }, answer.answer || "(empty)"));
  return h("li", { class: "new" }, shot, words, h("span", { class: outcome, title: OUTCOMES[outcome].text }, answer.worth === undefined ? "" : OUTCOMES[outcome].mark));
}

// Items stay while their answer is shown, so that nothing flickers.
function fillNewest(list, run, kept) {
  const keyOf = (answer) => `${answer.id} ${answer.question !== undefined}`;
  const items = run.newest.map((answer) => kept.get(keyOf(answer)) ?? answerItem(run, answer));
  kept.clear();
  run.newest.forEach((answer, index) => kept.set(keyOf(answer), items[index]));
  place(list, items);
}

// What stands in its place already is not touched: it would lose the focus, and be animated as if it were new.
function place(parent, elements) {
  for (const child of [...parent.children]) if (!elements.includes(child)) child.remove();
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

function shardParts(run) {
  if (!run.shards?.length) return null;
  const one = (shard) => h("div", { class: "quiet small" }, `shard ${shard.number}/${shard.of}`, h("progress", { max: shard.asked, value: shard.answered, "aria-label": `Shard ${shard.number}` }));
  return h("div", { class: "shards" }, ...run.shards.map(one));
}

function showRun(run) {
  if (!cards.has(run.name)) {
    const body = h("div");
    const list = h("ol", { class: "newest", "aria-label": "Newest answers" });
    const state = h("span");
    cards.set(run.name, { element: h("article", {}, body, list), body, list, state, kept: new Map() });
  }
  const card = cards.get(run.name);
  card.element.className = `run ${run.state}`;
  card.element.dataset.run = run.name;
  card.state.className = `state ${run.state}`;
  card.state.textContent = stateText(run);
  const known = run.asked !== undefined;
  const pace = [
    run.rate ? rateText(run.rate) : null,
    run.left && run.state === "running" ? `${duration(run.left)} ${run.until ? "to the next look" : "left"}` : null,
    run.until ? `${run.until.rule}, ${run.until.of.toLocaleString("en")} at most` : null,
    run.sessions > 1 ? `${run.sessions} sessions` : null,
  ];
  const parts = [
    h("header", {}, h("h3", {}, run.model || run.name), card.state),
    known ? h("p", { class: "about quiet small" }, run.about) : null,
    known ? h("progress", { max: run.asked, value: run.answered, "aria-label": "Answered" }) : null,
    known ? h("div", { class: "pace small" }, h("span", {}, `${run.answered.toLocaleString("en")} of ${run.asked.toLocaleString("en")}`), h("span", { class: "quiet" }, pace.filter(Boolean).join(" · "))) : null,
    shardParts(run),
    ...scoreParts(run),
    run.note ? h("p", { class: "note small" }, run.note) : null,
    run.state === "finished" ? h("p", { class: "small" }, h("a", { href: reportAddress([run.name]), target: "_blank" }, "Look into its answers")) : null,
  ];
  card.body.replaceChildren(...parts.filter(Boolean));
  fillNewest(card.list, { newest: [], ...run }, card.kept);
}

function showSets() {
  const groups = Map.groupBy([...runs.values()], (run) => run.set);
  for (const [key, set] of sets) {
    if (groups.has(key)) continue;
    set.element.remove();
    sets.delete(key);
  }
  for (const [key, members] of groups) {
    if (!sets.has(key)) {
      const set = { heading: h("div", { class: "bar" }), cards: h("div", { class: "cards" }) };
      set.element = h("section", { class: "set" }, set.heading, set.cards);
      sets.set(key, set);
      byId("sets").append(set.element);
    }
    const set = sets.get(key);
    const finished = members.filter((run) => run.state === "finished").map((run) => run.name);
    const compare = finished.length > 1 ? h("a", { class: "small", href: reportAddress(finished), target: "_blank" }, `Compare the ${finished.length} finished ones`) : null;
    const parts = [h("h2", {}, members[0].title), h("span", { class: "quiet small" }, members.find((run) => run.data)?.data ?? ""), compare];
    set.heading.replaceChildren(...parts.filter(Boolean));
    place(set.cards, members.map((run) => cards.get(run.name).element));
  }
  const tally = Object.entries(Object.groupBy([...runs.values()], (run) => run.state)).map(([state, those]) => `${those.length} ${state === "silent" ? "without a sign" : STATES[state]}`);
  byId("summary").textContent = tally.join(", ") || "No run yet: what `moe-eval run` writes into this folder appears here.";
  byId("all").hidden = ![...runs.values()].some((run) => run.state === "finished");
}

function follow() {
  const source = new EventSource("events");
  const connection = byId("connection");
  source.addEventListener("open", () => {
    connection.textContent = "live";
    connection.className = "small quiet";
  });
  source.addEventListener("error", () => {
    connection.textContent = "connection lost, trying again …";
    connection.className = "small lost";
  });
  source.addEventListener("runs", (event) => {
    const { folder, names } = JSON.parse(event.data);
    byId("folder").textContent = folder;
    for (const [name, run] of runs) {
      if (names.includes(name)) continue;
      runs.set(name, { ...run, state: "deleted", rate: null });
      showRun(runs.get(name));
    }
    showSets();
  });
  source.addEventListener("run", (event) => {
    const run = JSON.parse(event.data);
    runs.set(run.name, run);
    showRun(run);
    showSets();
  });
}

setUpTheme();
follow();
setInterval(() => {
  for (const [name, run] of runs) if (run.state === "silent") cards.get(name).state.textContent = stateText(run);
}, 1000);
