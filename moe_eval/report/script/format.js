// Numbers and verdicts as text.

const CLOSE = 1e-9;

function outcomeOf(worth) {
  if (worth === null || worth === undefined) return "unscored";
  if (worth >= 1 - CLOSE) return "right";
  return worth <= CLOSE ? "wrong" : "partly";
}

const OUTCOMES = {
  right: { mark: "✓", text: "right" },
  partly: { mark: "◐", text: "partly right" },
  wrong: { mark: "✗", text: "wrong" },
  unscored: { mark: "–", text: "not scored" },
};

// Some data have no question apart from the prompt.
function titleOf(row) {
  const lines = Object.keys(row.prompts).join("\n").split("\n");
  return row.question || lines.find((line) => line.trim()) || row.id;
}

function worthText(worth) {
  return worth === null || worth === undefined ? "–" : String(Math.round(worth * 1000) / 1000);
}

function verdict(worth) {
  const outcome = outcomeOf(worth);
  const { mark, text } = OUTCOMES[outcome];
  return `${mark} ${text}${outcome === "partly" ? ` (${worthText(worth)})` : ""}`;
}

function count(number, what) {
  return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
}
