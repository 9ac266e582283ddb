// All samples of the report, numbered through. Columns are read at the start; rows and pictures when they are wanted.

class Store {
  constructor(meta) {
    this.sets = meta.sets;
    this.picturesPerBlock = meta.picturesPerBlock;
    let first = 0;
    for (const set of this.sets) {
      set.first = first;
      first += set.size;
    }
    this.size = first;
    this.loading = new Map();
    this.rows = new Map(); // block → its rows
    this.pictures = new Map();
    this.texts = []; // of each set, what a search looks at
  }

  async load() {
    await Promise.all(
      this.sets.map(async (set, number) => {
        set.worths = (await unpack(`columns-${number}`)).worths;
        set.own = set.worths.map((ofRun, run) => ofRun[set.protocols.indexOf(set.asked[run])]);
      })
    );
  }

  locate(sample) {
    let number = this.sets.length - 1;
    while (this.sets[number].first > sample) number -= 1;
    return { number, set: this.sets[number], index: sample - this.sets[number].first };
  }

  rowNow(sample) {
    const { number, set, index } = this.locate(sample);
    return this.rows.get(`rows-${number}-${Math.floor(index / set.block)}`)?.[index % set.block];
  }

  async row(sample) {
    const { number, set, index } = this.locate(sample);
    const rows = await this.block(`rows-${number}-${Math.floor(index / set.block)}`);
    return rows[index % set.block];
  }

  // Per run, where tokens went; nothing where no run has recorded it.
  async paths(sample) {
    const { number, set, index } = this.locate(sample);
    if (!set.paths) return [];
    const blocks = await this.block(`paths-${number}-${Math.floor(index / set.block)}`);
    return blocks[index % set.block];
  }

  block(id) {
    if (!this.loading.has(id)) {
      this.loading.set(
        id,
        unpack(id).then((rows) => {
          this.rows.set(id, rows);
          return rows;
        })
      );
    }
    return this.loading.get(id);
  }

  picture(index) {
    const number = Math.floor(index / this.picturesPerBlock);
    if (!this.pictures.has(number)) this.pictures.set(number, readJson(`pictures-${number}`));
    return `data:image/webp;base64,${this.pictures.get(number)[index % this.picturesPerBlock]}`;
  }

  async loadTexts() {
    for (const [number, set] of this.sets.entries()) {
      if (this.texts[number]) continue;
      const texts = [];
      for (let block = 0; block * set.block < set.size; block += 1) {
        for (const row of await this.block(`rows-${number}-${block}`)) texts.push(searchText(row));
      }
      this.texts[number] = texts;
    }
  }
}

function searchText(row) {
  const facts = Object.values(row.facts);
  return [row.id, row.group, row.question, row.gold, ...row.answers, ...facts].join("\n").toLowerCase();
}
