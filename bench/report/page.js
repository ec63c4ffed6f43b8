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

/* Curves: an SVG per panel; the pointer picks a step, and a list beside it tells every line's value there. */
for (const box of document.querySelectorAll(".chart")) {
  const chart = JSON.parse(box.querySelector("script").textContent);
  const all = chart.panels.flatMap((panel) => panel.lines.flatMap((line) => line.points.map(([, y]) => y)));
  const scale = chart.log ? Math.log10 : (v) => v;
  const low = scale(Math.min(...all)), high = scale(Math.max(...all));
  for (const panel of chart.panels) box.append(drawPanel(panel, chart, scale, low, high));
}

function drawPanel(panel, chart, scale, low, high) {
  const W = 640, H = 300, L = 62, R = 12, T = 24, B = 30;
  const svg = (tag, parts, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(parts)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const last = Math.max(...panel.lines.flatMap((line) => line.points.map(([x]) => x)));
  const x = (step) => L + ((W - L - R) * step) / (last || 1);
  const y = (value) => T + ((H - T - B) * (high - scale(value))) / (high - low || 1);
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${chart.axis} over steps ${panel.title}` });
  root.append(svg("text", { x: L, y: 14, class: "title" }, panel.title ? `${panel.title}: ${chart.axis}` : chart.axis));
  for (let i = 0; i <= 4; i++) {
    const at = low + ((high - low) * i) / 4, value = chart.log ? 10 ** at : at, h = y(value);
    root.append(svg("line", { x1: L, x2: W - R, y1: h, y2: h, class: "grid" }));
    root.append(svg("text", { x: L - 6, y: h + 4, "text-anchor": "end" }, tell(value, 3)));
    const step = Math.round((last * i) / 4);
    root.append(svg("text", { x: x(step), y: H - 8, "text-anchor": i === 4 ? "end" : "middle" }, step));
  }
  for (const line of panel.lines) {
    const points = line.points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
    root.append(svg("polyline", { points, stroke: line.colour, class: "line" }));
  }
  const ruler = root.appendChild(svg("line", { y1: T, y2: H - B, class: "ruler", visibility: "hidden" }));
  const dots = panel.lines.map((line) => root.appendChild(svg("circle", { r: 4, fill: line.colour, visibility: "hidden" })));
  const list = document.createElement("ul");
  const rows = panel.lines.map((line) => {
    const row = document.createElement("li"), mark = document.createElement("i"), value = document.createElement("b");
    mark.style.background = line.colour;
    row.append(mark, line.label, value);
    list.append(row);
    return { row, value };
  });
  const head = document.createElement("p");
  const pick = (step) => {
    head.textContent = `step ${step}`;
    ruler.setAttribute("x1", x(step));
    ruler.setAttribute("x2", x(step));
    ruler.setAttribute("visibility", "visible");
    const found = panel.lines.map((line) => line.points.reduce((a, b) => (Math.abs(b[0] - step) < Math.abs(a[0] - step) ? b : a)));
    found.forEach(([a, b], i) => {
      dots[i].setAttribute("cx", x(a));
      dots[i].setAttribute("cy", y(b));
      dots[i].setAttribute("visibility", "visible");
      rows[i].value.textContent = tell(b, 4);
    });
    const order = found.map((_, i) => i).sort((i, j) => found[j][1] - found[i][1]);
    list.append(...order.map((i) => rows[i].row));
  };
  const move = (event) => {
    const place = root.getBoundingClientRect();
    const at = (((event.clientX - place.left) / place.width) * W - L) / (W - L - R);
    pick(Math.round(Math.min(1, Math.max(0, at)) * last));
  };
  root.addEventListener("pointermove", move);
  root.addEventListener("pointerdown", move);
  pick(last);
  const side = Object.assign(document.createElement("div"), { className: "values" });
  side.append(head, list);
  const frame = Object.assign(document.createElement("div"), { className: "panel" });
  frame.append(root, side);
  return frame;
}

function tell(value, digits) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(digits - 1).replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}
