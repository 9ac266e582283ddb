// Making elements. Text only ever becomes text: nothing in this report is parsed as HTML.

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

function button(label, title, onClick, disabled = false) {
  const element = h("button", { type: "button", "aria-label": title, title, disabled: disabled ? "" : null }, label);
  element.addEventListener("click", onClick);
  return element;
}
