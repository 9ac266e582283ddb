// Putting it together: the address, the filters, the list and the sample.

function readAddress() {
  const given = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
  const filter = { ...NO_FILTER };
  for (const name of Object.keys(NO_FILTER)) {
    if (given.has(name)) filter[name] = typeof NO_FILTER[name] === "boolean" ? true : given.get(name);
  }
  return { filter, sample: given.has("sample") ? Number(given.get("sample")) : undefined };
}

function writeAddress(filter, sample) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) {
    if (value !== NO_FILTER[name]) parts.set(name, value === true ? 1 : value);
  }
  if (sample !== undefined) parts.set("sample", sample);
  history.replaceState(null, "", `#?${parts}`);
}

async function main() {
  setUpTheme();
  setUpTables();
  setUpFigures();
  const store = new Store(readJson("meta"));
  await store.load();

  const browser = document.querySelector(".browser");
  const isNarrow = () => matchMedia("(max-width: 760px)").matches; // as in the style
  const actions = {
    move: (by) => list.move(by),
    movePage: (by) => list.move(by * list.page),
    first: () => list.moveTo(0),
    last: () => list.moveTo(list.samples.length - 1),
    open: () => {
      browser.classList.add("open");
      if (isNarrow()) browser.scrollIntoView();
      detail.element.focus({ preventScroll: true });
    },
    back: () => {
      browser.classList.remove("open");
      list.draw();
      list.element.focus({ preventScroll: true });
    },
    toList: () => list.element.focus(),
    search: () => {
      byId("filter-text").focus();
      byId("filter-text").select();
    },
    leaveSearch: () => {
      const field = byId("filter-text");
      if (field.value) {
        field.value = "";
        apply();
      } else actions.back();
    },
    help: () => byId("help").showModal(),
  };

  let touched = false; // the address is the reader's own until something was picked
  const detail = new Detail(store, actions);
  const list = new SampleList(
    store,
    (sample, position, total) => {
      detail.show(sample, position, total);
      if (touched) writeAddress(filters.get(), sample);
    },
    () => (isNarrow() ? actions.open() : list.element.focus({ preventScroll: true }))
  );
  const filters = new Filters(store, () => {
    touched = true;
    apply();
  });

  async function apply(sample = list.selected) {
    const filter = filters.get();
    if (filter.text) {
      byId("count").textContent = "searching …";
      await store.loadTexts();
      if (filter.text !== filters.get().text) return; // typed on meanwhile
    }
    const found = select(store, filter);
    byId("count").textContent = found.length === store.size ? count(store.size, "sample") : `${found.length.toLocaleString("en")} of ${count(store.size, "sample")}`;
    list.show(found, sample);
  }

  byId("help-button").addEventListener("click", actions.help);
  setUpKeys(actions);
  const { filter, sample } = readAddress();
  filters.set(filter);
  await apply(sample);
  touched = true;
  if (sample !== undefined) byId("samples").scrollIntoView();
  document.documentElement.dataset.ready = "true"; // for whoever drives this page
}

main();
