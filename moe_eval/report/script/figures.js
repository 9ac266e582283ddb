// Of the many figures of one kind, one is seen at a time.

function setUpFigures() {
  const choice = byId("figure-choice");
  if (!choice) return;
  const figures = [...document.querySelectorAll(".chosen .paper")];
  const show = () => figures.forEach((figure, index) => (figure.hidden = index !== Number(choice.value)));
  choice.addEventListener("input", show);
  show(); // a browser may remember what was chosen before
}
