"use strict";

/* Sorting: a click (or Enter) on a heading sorts by its column, again reverses. Numbers by data-sort or their text. */
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = columnHeads(table);
  heads.forEach((head, column) => {
    if (!head) return;
    head.dataset.click = "";
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
      rows.sort(([a], [b]) => compare(a, b, down ? -1 : 1));
      body.append(...rows.map(([, row]) => row));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}

/* The heading that stands right above each column, where headings span rows or columns. */
function columnHeads(table) {
  const heads = [], taken = [];
  [...table.tHead.rows].forEach((row, y) => {
    let x = 0;
    for (const cell of row.cells) {
      while (taken[y]?.[x]) x++;
      for (let i = 0; i < cell.colSpan; i++) {
        for (let j = 0; j < cell.rowSpan; j++) (taken[y + j] ??= [])[x + i] = true;
        heads[x + i] = cell.colSpan === 1 ? cell : heads[x + i];
      }
      x += cell.colSpan;
    }
  });
  return heads;
}

function key(cell) {
  if (!cell) return "";
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  const text = cell.textContent.trim();
  const number = text === "" ? NaN : Number(text.replace("−", "-"));
  return Number.isNaN(number) ? text : number;
}

/* Numbers before words before nothing, whichever the direction. */
function compare(a, b, sign) {
  const rank = (v) => (typeof v === "number" ? 0 : v === "" ? 2 : 1);
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
}

/* Comparison: two pictures over each other, the upper one cut at the slider. */
for (const box of document.querySelectorAll(".compare")) {
  const tiles = JSON.parse(box.querySelector("script").textContent);
  const make = (tag, parts) => Object.assign(document.createElement(tag), parts);
  const stage = make("div", { className: "stage" });
  const under = make("img", {}), over = make("img", {});
  const slide = make("input", { type: "range", min: 0, max: 100, value: 50 });
  slide.setAttribute("aria-label", "where the left picture ends and the right one begins");
  const picks = [0, Math.min(tiles.length - 1, 2)].map((chosen, side) => {
    const pick = make("select", {});
    pick.setAttribute("aria-label", side ? "right picture" : "left picture");
    tiles.forEach((tile, i) => pick.append(new Option(tile.label, i, i === chosen, i === chosen)));
    pick.addEventListener("change", show);
    return pick;
  });
  function show() {
    const [left, right] = picks.map((pick) => tiles[pick.value]);
    Object.assign(under, { src: right.src, alt: right.label });
    Object.assign(over, { src: left.src, alt: left.label });
    cut();
  }
  function cut() {
    over.style.clipPath = `inset(0 ${100 - slide.value}% 0 0)`;
    stage.style.setProperty("--at", `${slide.value}%`);
  }
  slide.addEventListener("input", cut);
  const drag = (event) => {
    const place = stage.getBoundingClientRect();
    slide.value = (100 * (event.clientX - place.left)) / place.width;
    cut();
  };
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener("pointermove", (event) => { if (event.buttons || event.pointerType === "touch") drag(event); });
  under.draggable = over.draggable = false;
  const choose = make("div", { className: "pick" });
  choose.append(...picks);
  stage.append(under, over);
  box.append(choose, stage, slide);
  show();
}
