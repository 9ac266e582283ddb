// One sample with everything that is known of it.

function fields(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "fields" }, ...known.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function pictures(store, row) {
  const shots = row.pictures.map((index, number) =>
    index === null
      ? h("div", { class: "missing" }, `not in this file: ${row.names[number]}`)
      : h("img", { src: store.picture(index), alt: `Picture ${row.names[number]}` })
  );
  return shots.length ? h("div", { class: "shots" }, ...shots) : null;
}

function prompts(set, row) {
  const all = Object.entries(row.prompts);
  return all.map(([text, runs]) => {
    const whose = all.length > 1 ? ` of ${runs.map((run) => set.runs[run]).join(", ")}` : "";
    return h("div", { class: "prompt" }, h("span", { class: "quiet small" }, `Prompt${whose}`), h("pre", {}, text));
  });
}

function sameWords(one, other) {
  return (one ?? "").trim().toLowerCase() === (other ?? "").trim().toLowerCase();
}

function answer(set, row, paths, run, index) {
  const worth = set.own[run][index];
  const text = row.answers[run];
  const scores = set.protocols.map((name, protocol) => [name, set.worths[run][protocol][index]]);
  const scored = scores.filter(([, value]) => value !== null).map(([name, value]) => `${name} ${worthText(value)}`);
  return h(
    "article",
    { class: `answer ${outcomeOf(worth)}`, "aria-label": `Answer of ${set.runs[run]}` },
    h("header", {}, h("h4", {}, h("span", { class: "who" }, letterOf(set, run)), ` ${set.runs[run]}`), h("span", { class: `verdict ${outcomeOf(worth)}` }, verdict(worth))),
    text === null ? h("pre", { class: "quiet" }, "no answer") : text === "" ? h("pre", { class: "quiet" }, "empty answer") : h("pre", {}, text),
    fields([["read as", sameWords(row.readings[run], text) ? null : row.readings[run]], ["scores", scored.join(" · ")]]),
    experts(paths[run])
  );
}

const KINDS = { image: "picture", prompt: "prompt", answer: "answer" };

// Rows are tokens, columns are layers; an expert is a number and, the same everywhere, a tint.
function experts(path) {
  if (!path) return null;
  const layers = path.layers.map((layer) => h("th", { scope: "col" }, layer));
  const tokens = path.tokens.map(([kind, token, choices]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("span", { class: "quiet" }, KINDS[kind]), kind === "image" ? "" : ` ${JSON.stringify(token)}`),
      ...choices.map((expert) => h("td", { class: `expert tint-${expert % 8}` }, expert))
    )
  );
  return h(
    "details",
    { class: "paths" },
    h("summary", {}, "Expert path: first choice in each sparse layer (both from 0)"),
    h(
      "div",
      { class: "across" },
      h("table", { class: "experts" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "layer"), ...layers)), h("tbody", {}, ...tokens))
    )
  );
}

function sampleDetail(store, sample, row, paths) {
  const { set, index } = store.locate(sample);
  const shots = pictures(store, row);
  const facts = Object.entries(row.facts).map(([name, value]) => [name.replaceAll("_", " "), value]);
  const about = [["questions", `${set.title}: ${set.data}`], ["picture", row.names.join(", ")], ["group", row.group], ...facts];
  return [
    h(
      "div",
      { class: shots ? "sample-head" : "sample-head bare" },
      shots,
      h(
        "div",
        {},
        h("h3", { class: "question" }, titleOf(row)),
        fields([["gold", row.gold ?? "hidden"]]),
        ...prompts(set, row)
      )
    ),
    h("div", { class: "answers" }, ...set.runs.map((_, run) => answer(set, row, paths, run, index))),
    h("details", { class: "about" }, h("summary", {}, "About this question"), fields(about)),
  ];
}

class Detail {
  constructor(store, actions) {
    this.store = store;
    this.actions = actions;
    this.element = byId("detail");
  }

  async show(sample, position, total) {
    this.sample = sample;
    if (sample === undefined) {
      this.element.replaceChildren(h("p", { class: "quiet" }, "No sample."));
      return;
    }
    const [row, paths] = await Promise.all([this.store.row(sample), this.store.paths(sample)]);
    if (this.sample !== sample) return; // another one was picked meanwhile
    this.element.setAttribute("aria-label", `Sample ${row.id}`);
    this.element.replaceChildren(this.steps(row, position, total), ...sampleDetail(this.store, sample, row, paths));
    this.element.scrollTop = 0;
  }

  steps(row, position, total) {
    const back = button("‹ List", "Back to the list", this.actions.back);
    back.className = "back";
    return h(
      "div",
      { class: "steps" },
      back,
      h("span", { class: "where" }, `${row.id} · ${(position + 1).toLocaleString("en")} of ${total.toLocaleString("en")}`),
      button("↑", "Previous sample", () => this.actions.move(-1), position === 0),
      button("↓", "Next sample", () => this.actions.move(1), position === total - 1)
    );
  }
}
