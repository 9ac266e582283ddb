// Which samples are shown. A filter is plain data, so that it can stand in the page's address.

const NO_FILTER = { set: "", run: "", outcome: "", runs: false, protocols: false, text: "" };

function differ(worths) {
  let low = Infinity;
  let high = -Infinity;
  for (const worth of worths) {
    if (worth === null) continue;
    low = Math.min(low, worth);
    high = Math.max(high, worth);
  }
  return high - low > CLOSE;
}

function matches(set, index, runs, filter) {
  if (filter.outcome && !runs.some((run) => outcomeOf(set.own[run][index]) === filter.outcome)) return false;
  if (filter.runs && !differ(set.own.map((worths) => worths[index]))) return false;
  return !filter.protocols || runs.some((run) => differ(set.worths[run].map((worths) => worths[index])));
}

function runsOf(set, label) {
  const all = set.runs.map((_, run) => run);
  return label ? all.filter((run) => set.runs[run] === label) : all;
}

function select(store, filter) {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  store.sets.forEach((set, number) => {
    if (filter.set !== "" && Number(filter.set) !== number) return;
    const runs = runsOf(set, filter.run);
    if (runs.length === 0) return;
    const texts = store.texts[number];
    for (let index = 0; index < set.size; index += 1) {
      if (!matches(set, index, runs, filter)) continue;
      if (words.length && !words.every((word) => texts[index].includes(word))) continue;
      found.push(set.first + index);
    }
  });
  return found;
}

class Filters {
  constructor(store, onChange) {
    this.fields = {
      set: byId("filter-set"),
      run: byId("filter-run"),
      outcome: byId("filter-outcome"),
      runs: byId("filter-runs"),
      protocols: byId("filter-protocols"),
      text: byId("filter-text"),
    };
    const option = (value, text) => h("option", { value }, text);
    const labels = [...new Set(store.sets.flatMap((set) => set.runs))];
    this.fields.set.append(option("", "all"), ...store.sets.map((set, number) => option(number, `${set.title}: ${set.data}`)));
    this.fields.run.append(option("", "any"), ...labels.map((label) => option(label, label)));
    this.fields.outcome.append(option("", "anything"), ...Object.entries(OUTCOMES).map(([name, { text }]) => option(name, text)));
    this.fields.runs.disabled = !store.sets.some((set) => set.runs.length > 1);
    this.fields.protocols.disabled = !store.sets.some((set) => set.protocols.length > 1);
    let waiting = 0;
    for (const field of Object.values(this.fields)) {
      field.addEventListener("input", () => {
        clearTimeout(waiting);
        waiting = setTimeout(onChange, field.type === "search" ? 150 : 0);
      });
    }
    byId("filter-reset").addEventListener("click", () => {
      this.set(NO_FILTER);
      onChange();
    });
    document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  }

  get() {
    const { set, run, outcome, runs, protocols, text } = this.fields;
    return { set: set.value, run: run.value, outcome: outcome.value, runs: runs.checked, protocols: protocols.checked, text: text.value.trim() };
  }

  set(filter) {
    for (const [name, field] of Object.entries(this.fields)) {
      if (field.type === "checkbox") field.checked = filter[name];
      else field.value = filter[name];
      if (field.selectedIndex === -1) field.value = ""; // an address may name what is not in this report
    }
  }
}
