// The list of samples: as long as it needs to be, with only the rows in it that are seen.

const ROW_HEIGHT = 64; // --row of the style
const BEYOND = 6; // rows kept above and below what is seen

class SampleList {
  constructor(store, onSelect, onOpen) {
    this.store = store;
    this.onSelect = onSelect;
    this.onOpen = onOpen;
    this.element = byId("list");
    this.spacer = byId("spacer");
    this.samples = [];
    this.position = -1;
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.spacer.addEventListener("click", (event) => {
      const option = event.target.closest(".option");
      if (!option) return;
      this.moveTo(Number(option.dataset.position));
      this.onOpen();
    });
  }

  get selected() {
    return this.samples[this.position];
  }

  show(samples, keep) {
    this.samples = samples;
    this.spacer.style.height = `${samples.length * ROW_HEIGHT}px`;
    const position = samples.indexOf(keep);
    this.element.scrollTop = 0;
    this.moveTo(position >= 0 ? position : samples.length ? 0 : -1);
  }

  moveTo(position) {
    this.position = Math.max(Math.min(position, this.samples.length - 1), this.samples.length ? 0 : -1);
    const top = this.position * ROW_HEIGHT;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + ROW_HEIGHT > scrollTop + clientHeight) this.element.scrollTop = top + ROW_HEIGHT - clientHeight;
    this.draw();
    this.onSelect(this.selected, this.position, this.samples.length);
  }

  move(by) {
    this.moveTo(this.position + by);
  }

  get page() {
    return Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 1);
  }

  draw() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_HEIGHT) - BEYOND);
    const last = Math.min(this.samples.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW_HEIGHT) + BEYOND);
    const options = [];
    for (let position = first; position < last; position += 1) options.push(this.option(position));
    this.spacer.replaceChildren(...(this.samples.length ? options : [h("p", { class: "none" }, "No sample passes these filters.")]));
    const seen = this.position >= first && this.position < last && this.position >= 0;
    if (seen) this.element.setAttribute("aria-activedescendant", `option-${this.position}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  option(position) {
    const sample = this.samples[position];
    const row = this.store.rowNow(sample);
    if (!row) this.store.row(sample).then(() => this.drawSoon());
    return h(
      "div",
      {
        class: "option",
        role: "option",
        id: `option-${position}`,
        "data-position": position,
        "aria-selected": String(position === this.position),
        "aria-posinset": position + 1,
        "aria-setsize": this.samples.length,
        "aria-label": row ? this.spoken(sample, row) : "loading",
        style: `top: ${position * ROW_HEIGHT}px`,
      },
      ...(row ? this.content(sample, row) : [h("span", { class: "blank" })])
    );
  }

  spoken(sample, row) {
    const { set, index } = this.store.locate(sample);
    const verdicts = set.own.map((worths, run) => `${set.runs[run]} ${OUTCOMES[outcomeOf(worths[index])].text}`);
    return [titleOf(row), ...verdicts].join(", ");
  }

  content(sample, row) {
    const { set, index } = this.store.locate(sample);
    const picture = row.pictures.find((one) => one !== null);
    const below = [row.gold === null ? null : `gold: ${row.gold}`, this.store.sets.length > 1 ? set.title : null, row.id];
    return [
      picture === undefined ? h("span", { class: "blank" }) : h("img", { src: this.store.picture(picture), alt: "" }),
      h(
        "span",
        { class: "words" },
        h("span", {}, titleOf(row)),
        h("span", { class: "below" }, below.filter(Boolean).join(" · "))
      ),
      h("span", { class: "marks" }, ...set.own.map((worths, run) => mark(worths[index], set.runs[run], letterOf(set, run)))),
    ];
  }

  drawSoon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }
}

function letterOf(set, run) {
  return set.letters[run];
}

function mark(worth, label, letter) {
  const outcome = outcomeOf(worth);
  return h(
    "span",
    { class: `mark ${outcome}`, title: `${label}: ${OUTCOMES[outcome].text}` },
    h("span", { class: "who" }, letter),
    OUTCOMES[outcome].mark
  );
}
