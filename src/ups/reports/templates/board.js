// Sort a table by a click on its head, show the rows that hold some words, and name two runs for `ups compare`.
"use strict";
for (const table of document.querySelectorAll("table.sorted")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.children[column];
        const number = parseFloat(cell.dataset.value ?? "");
        return Number.isNaN(number) ? (cell.dataset.value ?? cell.textContent.trim()) : number;
      };
      const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b)));
      table.tBodies[0].append(...rows);
    });
  });
}
const words = document.getElementById("words");
words.addEventListener("input", () => {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("table.sorted tbody tr"))
    row.hidden = !wanted.every((word) => row.textContent.toLowerCase().includes(word));
});
const chosen = document.getElementById("chosen");
document.addEventListener("change", (event) => {
  if (event.target.name !== "pick") return;
  const runs = [...document.querySelectorAll("input[name=pick]:checked")].map((box) => box.value);
  chosen.textContent = runs.length < 2 ? "Tick two runs or more." : "ups compare " + runs.join(" ");
});
for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
