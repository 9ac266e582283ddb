// The keyboard. Single letters work outside of fields, and can be switched off in the help.

function setUpKeys(actions) {
  const typing = (target) => target.matches("input:not([type=checkbox]), select, textarea");
  const letters = { j: () => actions.move(1), k: () => actions.move(-1), "/": actions.search, "?": actions.help };
  const inList = {
    ArrowDown: () => actions.move(1),
    ArrowUp: () => actions.move(-1),
    PageDown: () => actions.movePage(1),
    PageUp: () => actions.movePage(-1),
    Home: actions.first,
    End: actions.last,
    Enter: actions.open,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const handler = pick(event);
    if (!handler) return;
    event.preventDefault();
    handler();
  });

  function pick(event) {
    if (event.key === "Escape") return event.target === byId("filter-text") ? actions.leaveSearch : actions.back;
    if (event.target === byId("filter-text") && event.key === "Enter") return actions.toList;
    if (event.target === byId("list") && inList[event.key]) return inList[event.key];
    return byId("keys-on").checked && !typing(event.target) ? letters[event.key] : undefined;
  }
}
