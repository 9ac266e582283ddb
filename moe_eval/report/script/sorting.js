// Tables that sort by a click on a heading: one way, the other way, and as they were.

function cellValue(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return text === "" || text === "–" || text === "pending" ? null : text;
}

function compareValues(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function sortRows(rows, column, direction) {
  const value = new Map(rows.map((row) => [row, cellValue(row, column)]));
  return [...rows].sort((a, b) => {
    const [one, other] = [value.get(a), value.get(b)];
    if (one === null || other === null) return (one === null) - (other === null); // what is not there comes last
    return direction === "descending" ? compareValues(other, one) : compareValues(one, other);
  });
}

function setUpSorting(table) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const original = [...table.tBodies].map((body) => [...body.rows].filter((row) => !row.classList.contains("block")));
  headings.forEach((heading, column) => {
    const first = heading.classList.contains("numeric") ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    heading.querySelector("button").addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const next = now === first ? second : now === second ? null : first;
      for (const other of headings) other.removeAttribute("aria-sort");
      if (next) heading.setAttribute("aria-sort", next);
      [...table.tBodies].forEach((body, index) => {
        body.append(...(next ? sortRows(original[index], column, next) : original[index]));
      });
    });
  });
}

function setUpTables() {
  for (const table of document.querySelectorAll("table.sortable")) setUpSorting(table);
  for (const box of document.querySelectorAll("input.published")) {
    const show = () => byId(box.dataset.table).closest(".grid").classList.toggle("own-only", !box.checked);
    box.addEventListener("change", show);
    show();
  }
}
