// Dark or light: as the system says, until the reader says otherwise.

function setUpTheme() {
  const toggle = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => document.documentElement.dataset.theme;
  const isDark = () => (chosen() ? chosen() === "dark" : system.matches);
  const show = () => toggle.setAttribute("aria-pressed", String(isDark()));

  try {
    const stored = localStorage.getItem("report-theme");
    if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
  } catch {
    // Some browsers have no storage for files; the choice then lasts as long as the page.
  }
  toggle.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("report-theme", chosen());
    } catch {
      // see above
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}
