// A table whose rows a button in each heading puts in order; again, the other way round.
const chinese = document.documentElement.lang.startsWith("zh");

function content(row, column) {
  return row.cells[column].textContent.trim();
}

// Numbers by their size and before words, words as the language has them; what does not apply, last.
function order(one, other, sign) {
  const [a, b] = [Number(one), Number(other)];
  if (one === "–" || other === "–") return (one === "–") - (other === "–");
  if (Number.isNaN(a) || Number.isNaN(b)) return sign * (Number.isNaN(a) - Number.isNaN(b) || one.localeCompare(other));
  return sign * (a - b);
}

function sort(table, heading) {
  const column = heading.cellIndex;
  const down = heading.getAttribute("aria-sort") === "ascending";
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => order(content(one, column), content(other, column), down ? -1 : 1));
  table.tBodies[0].append(...rows);
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.tHead.rows[0].cells) {
    const own = heading.cloneNode(true);
    own.querySelector(".bi-other")?.remove();
    const name = own.textContent.trim();
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sorts";
    button.textContent = "⇅";
    button.setAttribute("aria-label", chinese ? `按“${name}”排序` : `Sort by ${name}`);
    button.addEventListener("click", () => sort(table, heading));
    (heading.querySelector("p") ?? heading).append(" ", button);
  }
}
