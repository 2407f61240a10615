// Draws and lists the cells that a reader chooses. All data lie in the page.
"use strict";
(() => {
  const section = document.querySelector("section.explore");
  const data = JSON.parse(section.querySelector("script").textContent);
  const MOST_PANELS = 12, MOST_LINES = 12, PANELS_AT_START = 6, ROWS_AT_START = 200;
  // Pixels of a panel: margins, the room of rate 0 left of an axis break, and that of values up to 0 below a logarithmic axis.
  const HEIGHT = 300, LEFT = 46, RIGHT = 14, TOP = 24, BOTTOM = 256, ZERO = 64, FLOOR = 26, ASIDE = 22;

  // Names of others enter the page as text and attributes only.
  const filled = (node, attributes, children) => {
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    node.append(...children);
    return node;
  };
  const html = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const on = (node, event, act) => (node.addEventListener(event, act), node);
  const button = (text, act) => on(html("button", { type: "button" }, text), "click", () => (act(), update()));

  // The looks of the static figures.
  const SHAPES = {
    circle: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    square: "M-4-4h8v8h-8z",
    "triangle-up": "M-5 4h10l-5-9z",
    "triangle-down": "M-5-4h10l-5 9z",
    diamond: "M-5.5 0l5.5-5.5l5.5 5.5l-5.5 5.5z",
    cross: "M-4-4l8 8m-8 0l8-8",
  };
  const path = (d, attributes) => svg("path", { d, ...attributes });
  const stroke = ({ color, dash }) => ({ stroke: color, "stroke-width": 2, "stroke-dasharray": dash.join(" "), fill: "none" });
  const mark = ({ color, marker }, x, y) =>
    path(SHAPES[marker], {
      transform: `translate(${x} ${y})`,
      ...(marker === "cross" ? { stroke: color, "stroke-width": 2.5 } : { fill: color, stroke: "#fff" }),
    });

  // What is chosen: places in the lists of `data`, and the reader's view of them.
  const chosen = {};
  const view = {};
  const sync = [];
  function reset() {
    const first = (list, most) => new Set(list.slice(0, most).map((_, place) => place));
    chosen.network = first(data.networks, PANELS_AT_START);
    chosen.faultModel = first(data.faultModels, Math.floor(PANELS_AT_START / chosen.network.size));
    chosen.protection = first(data.protections);
    Object.assign(view, { shown: "value", up: "linear", across: "log", from: 0, to: data.rates.length - 1 });
    Object.assign(view, { column: null, descending: false, all: false });
  }

  const group = (legend, ...content) => html("fieldset", {}, html("legend", {}, legend), ...content);
  const input = (type, more) => html("input", { type, autocomplete: "off", ...more });
  function choices(legend, key, list, families) {
    const only = (wanted) => () => (chosen[key] = new Set([...list.keys()].filter((place) => wanted(list[place]))));
    const rows = list.map(({ name, marker, ...look }, place) => {
      const box = on(input("checkbox"), "change", () => {
        chosen[key][box.checked ? "add" : "delete"](place);
        update();
      });
      sync.push(() => (box.checked = chosen[key].has(place)));
      const row = html("label", {}, box);
      if (marker) {
        const swatch = svg("svg", { width: 34, height: 14, "aria-hidden": "true" }, path("M0 7h34", stroke(look)));
        swatch.append(mark({ marker, ...look }, 17, 7));
        row.append(swatch);
        const stress = (is) => () => {
          charts.classList.toggle("dim", is);
          for (const line of charts.querySelectorAll(".line")) line.classList.toggle("bright", line.dataset.of === `${place}`);
        };
        for (const event of ["pointerenter", "focusin"]) on(row, event, stress(true));
        for (const event of ["pointerleave", "focusout"]) on(row, event, stress(false));
      }
      row.append(html("span", {}, name));
      return row;
    });
    const buttons = families.map((family, place) => button(family, only((item) => item.family === place)));
    buttons.unshift(button("All", only(() => true)), button("None", only(() => false)));
    const made = group(legend, html("div", { class: "buttons" }, ...buttons), html("div", { class: "choices" }, ...rows));
    made.hidden = list.length < 2;
    return made;
  }
  const radios = (legend, name, options) =>
    group(legend, html("div", { class: "options" }, ...options.map(([value, text]) => {
      const radio = on(input("radio", { name, value }), "change", () => {
        view[name] = value;
        update();
      });
      sync.push(() => (radio.checked = view[name] === value));
      return html("label", {}, radio, html("span", {}, text));
    })));
  function rateSelect(name) {
    const options = data.rates.map(({ text }, place) => html("option", { value: place }, text));
    const select = on(html("select", { autocomplete: "off" }, ...options), "change", () => {
      view[name] = Number(select.value);
      update();
    });
    sync.push(() => (select.value = view[name]));
    return html("label", {}, html("span", {}, name), select);
  }

  // Scales, each a function from values to pixels and its ticks.
  const between = (low, high, start, end) => (value) =>
    high > low ? start + ((value - low) / (high - low)) * (end - start) : (start + end) / 2;
  const short = (value) => `${Number(value.toPrecision(6))}`;
  function steps(low, high, most) {
    const power = 10 ** Math.floor(Math.log10((high - low) / most));
    const step = [1, 2, 5, 10].map((multiple) => multiple * power).find((step) => (high - low) / step <= most);
    const ticks = [];
    for (let n = Math.ceil(low / step - 1e-9); n <= high / step + 1e-9; n++) ticks.push(n * step);
    return ticks;
  }
  function valueScale(values) {
    const log = view.up === "log" && values.some((value) => value > 0);
    const used = log ? values.filter((value) => value > 0).map(Math.log10) : values;
    let [low, high] = [Math.min(...used), Math.max(...used)];
    const least = log ? 1 : data.percent && view.shown === "value" ? 0.5 : 0;
    const room = 0.06 * (Math.max(high - low, least) || 1);
    [low, high] = [low - room, high + room];
    const floor = log && used.length < values.length ? FLOOR : 0;
    const place = between(low, high, BOTTOM - floor, TOP);
    if (log) {
      const y = (value) => (value > 0 ? place(Math.log10(value)) : BOTTOM - floor / 2);
      const ticks = floor > 0 ? [[y(0), "≤ 0"]] : [];
      for (let power = Math.floor(low); power <= high; power += Math.ceil((high - low) / 6)) {
        const multiples = (high - low < 2 ? [1, 2, 5] : [1]).map((multiple) => multiple * 10 ** power);
        for (const tick of multiples.filter((m) => Math.log10(m) >= low && Math.log10(m) <= high)) ticks.push([y(tick), short(tick)]);
      }
      return { y, ticks };
    }
    // No tick for a value that cannot be.
    const ends = data.percent && view.shown === "value" ? [Math.max(low, 0), Math.min(high, 100)] : [low, high];
    const ticks = steps(...ends, 6);
    return { y: place, ticks: ticks.map((tick) => [place(tick), short(tick)]) };
  }
  function rateScale(rates, right) {
    const positive = rates.filter(({ value }) => value > 0);
    const [start, end] = [LEFT + ASIDE, right - ASIDE];
    if (view.across === "linear") {
      const high = Math.max(...positive.map(({ value }) => value), 0) || 1;
      const x = between(0, high, start, end);
      return { x, ticks: steps(0, high, 5).map((tick) => [x(tick), short(tick)]) };
    }
    const logs = positive.map(({ value }) => Math.log10(value));
    const place = between(Math.min(...logs), Math.max(...logs), start + ZERO, end);
    const x = (rate) => (rate === 0 ? LEFT + ZERO / 2 : place(Math.log10(rate)));
    // Powers of ten first; then the other rates, where there is room.
    const isPower = ({ text }) => text.startsWith("1e");
    const ticks = [[x(0), "0"]];
    for (const { value, text } of [...positive.filter(isPower), ...positive]) {
      if (ticks.every(([other]) => Math.abs(other - x(value)) > 36)) ticks.push([x(value), text]);
    }
    return { x, ticks, gap: LEFT + ZERO };
  }

  const label = (x, y, text, anchor, kind = "tick") => svg("text", { x, y, "text-anchor": anchor, class: kind }, text);
  function panelOf({ name, rate, lines }, { y, ticks }, width) {
    const right = width - RIGHT;
    const rates = [...new Set(lines.flatMap(({ cells }) => cells.map((cell) => data.rates[cell.rate])))];
    const scale = rateScale(rates.sort((a, b) => a.value - b.value), right);
    const axis = data.axes[view.shown];
    const picture = svg("svg", {
      viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img",
      "aria-label": `${name}: ${axis} against ${rate}, lines: ${lines.length}. The table below has the values.`,
    });
    const rule = (d, kind) => picture.append(path(d, { class: kind }));
    const across = (y, kind) => rule(`M${LEFT} ${y}H${right}`, kind);
    for (const [place, text] of ticks) {
      across(place, "grid");
      picture.append(label(LEFT - 6, place + 4, text, "end"));
    }
    for (const [place, text] of scale.ticks) {
      rule(`M${place} ${BOTTOM}v5`, "axis");
      picture.append(label(place, BOTTOM + 18, text, "middle"));
    }
    const gap = scale.gap;
    rule(gap ? `M${LEFT} ${BOTTOM}H${gap - 4}m-3 6l6-12m2 12l6-12M${gap + 4} ${BOTTOM}H${right}` : `M${LEFT} ${BOTTOM}H${right}`, "axis");
    picture.append(label(0, 12, axis, "start", "name"), label((LEFT + right) / 2, HEIGHT - 6, rate, "middle", "name"));
    for (const place of new Set(lines.map(({ stored }) => y(stored.clean[view.shown])))) across(place, "guide");
    if (view.shown === "value" && data.chance !== null) across(y(data.chance), "chance");

    const { value: word, unit, drop: loss, points } = data.words;
    lines.forEach(({ protection, stored, cells }, place) => {
      const look = data.protections[protection];
      const middle = place - (lines.length - 1) / 2;
      const column = (rate) => scale.x(rate) + middle * Math.min(rate === 0 && gap ? 8 : 4, 44 / lines.length);
      const line = svg("g", { class: "line", "data-of": protection });
      const spot = (x, y, text, ...bars) =>
        line.append(svg("g", {}, svg("title", {}, text), ...bars, mark(look, x, y), svg("circle", { cx: x, cy: y, r: 9, class: "spot" })));
      const spots = cells.map((cell) => ({ cell, rate: data.rates[cell.rate], x: column(data.rates[cell.rate].value) }));
      const joined = spots.filter(({ rate }) => rate.value > 0).map(({ cell, x }) => `${x} ${y(cell[view.shown][0])}`);
      if (joined.length > 1) line.append(path(`M${joined.join("L")}`, stroke(look)));
      if (stored.faultFree) {
        spot(column(0), y(stored.faultFree[view.shown]), `${look.name}, fault-free: ${word} ${stored.faultFree.text}${unit}`);
      }
      for (const { cell, rate, x } of spots) {
        const [mean, low, high] = cell[view.shown];
        const [value, drop, interval] = cell.text;
        const bar = low === null ? "" : `M${x - 3} ${y(low)}h6m-3 0V${y(high)}m-3 0h6`;
        spot(x, y(mean), `${look.name} at ${rate.text}: mean ${word} ${value}${unit}, ${loss} ${drop}${points}, 95 % interval ` +
          `${interval}, n = ${cell.trials}`, path(bar, { stroke: look.color, "stroke-width": 1.5, fill: "none" }));
      }
      picture.append(line);
    });
    return html("div", { class: "panel" }, html("p", {}, name), picture);
  }

  // A panel for each network and fault model, a line for each protection.
  function panelsOf(cells) {
    const panels = new Map();
    const known = (map, key, made) => map.get(key) ?? map.set(key, made()).get(key);
    for (const cell of cells) {
      const [network, faults] = [data.networks[cell.network].name, data.faultModels[cell.faultModel]];
      const name = data.faultModels.length > 1 ? `${network}, ${faults.name}` : network;
      const { all } = known(panels, `${cell.network} ${cell.faultModel}`, () => ({ name, rate: faults.rate, all: new Map() }));
      const stored = ({ network, protection }) => network === cell.network && protection === cell.protection;
      known(all, cell.protection, () => ({ protection: cell.protection, stored: data.stored.find(stored), cells: [] })).cells.push(cell);
    }
    return [...panels.values()].map((panel) => ({ ...panel, lines: [...panel.all.values()].slice(0, MOST_LINES) }));
  }
  function draw(panels) {
    const drawn = panels.slice(0, MOST_PANELS);
    const values = drawn.flatMap(({ lines }) => lines.flatMap(({ stored, cells }) =>
      [stored.clean[view.shown], stored.faultFree?.[view.shown], ...cells.flatMap((cell) => cell[view.shown])]));
    if (view.shown === "value") values.push(data.chance);
    const scale = valueScale(values.filter((value) => Number.isFinite(value)));
    const columns = charts.clientWidth >= 640 && drawn.length > 1 ? 2 : 1;
    const width = Math.max(Math.floor((charts.clientWidth - 20 * (columns - 1)) / columns), 240);
    charts.replaceChildren(...drawn.map((panel) => panelOf(panel, scale, width)));
  }

  // Columns of the table: heading, key to sort by, text if it differs.
  const columns = [
    { heading: "network", key: (cell) => data.networks[cell.network].name },
    { heading: "fault model", key: (cell) => data.faultModels[cell.faultModel].name },
    { heading: "protection", key: (cell) => data.protections[cell.protection].name },
    { heading: "rate", key: (cell) => data.rates[cell.rate].value, text: (cell) => data.rates[cell.rate].text },
    { heading: "n", key: (cell) => cell.trials, text: (cell) => cell.trials },
    { heading: data.headings.value, key: (cell) => cell.value[0], text: (cell) => cell.text[0] },
    { heading: data.headings.drop, key: (cell) => cell.drop[0], text: (cell) => cell.text[1] },
    { heading: "95 % interval", key: (cell) => cell.drop[1] ?? cell.drop[0], text: (cell) => cell.text[2] },
  ];
  const heads = columns.map((column) => {
    const sort = button(column.heading, () =>
      Object.assign(view, { column, descending: view.column === column && !view.descending }));
    const head = html("th", { scope: "col", class: column.text ? "number" : "name" }, sort);
    sync.push(() => {
      if (view.column === column) head.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    return head;
  });
  function tabulate(cells) {
    const { column, descending } = view;
    if (column) {
      const order = (a, b) => (column.text ? a - b : a.localeCompare(b, "en", { numeric: true }));
      cells = cells.slice().sort((a, b) => (descending ? -1 : 1) * order(column.key(a), column.key(b)));
    }
    const rows = view.all ? cells : cells.slice(0, ROWS_AT_START);
    body.replaceChildren(...rows.map((cell) => html("tr", {}, ...columns.map(({ key, text }, place) =>
      place === 0 ? html("th", { scope: "row" }, key(cell)) : html("td", { class: text ? "number" : "name" }, (text ?? key)(cell))))));
    more.hidden = rows.length === cells.length;
    return rows.length;
  }

  function update() {
    for (const act of sync) act();
    const [low, high] = [Math.min(view.from, view.to), Math.max(view.from, view.to)];
    const cells = data.cells.filter((cell) =>
      cell.rate >= low && cell.rate <= high && Object.keys(chosen).every((key) => chosen[key].has(cell[key])));
    const panels = panelsOf(cells);
    draw(panels);
    const said = [`Cells: ${cells.length} of ${data.cells.length}. Rows in the table: ${tabulate(cells)}.`];
    if (cells.length === 0) said.push("Choose at least one network, fault model and protection.");
    if (panels.length > MOST_PANELS) said.push(`The figure shows the first ${MOST_PANELS} of ${panels.length} panels: choose fewer networks or fault models.`);
    if (panels.some(({ all }) => all.size > MOST_LINES)) said.push(`A panel shows its first ${MOST_LINES} lines: choose fewer protections.`);
    status.textContent = said.join(" ");
  }

  const [charts, body, status] = [html("div", { class: "charts" }), html("tbody"), html("p", { role: "status" })];
  const more = button("Show all rows", () => (view.all = true));
  const scales = [["linear", "linear"], ["log", "logarithmic"]];
  const controls = html("div", { class: "controls" },
    choices("Networks", "network", data.networks, data.families),
    choices("Fault models", "faultModel", data.faultModels, []),
    choices("Protections", "protection", data.protections, []),
    group("Rates", html("div", { class: "options" }, rateSelect("from"), rateSelect("to"))),
    radios("Values", "shown", [["value", data.words.value], ["drop", data.words.drop]]),
    radios("Axis of values", "up", scales),
    radios("Axis of rates", "across", scales),
    button("Reset", reset));
  const table = html("table", {}, html("thead", {}, html("tr", {}, ...heads)), body);
  section.append(
    html("div", { class: "board" }, controls, html("div", {}, status, charts)),
    html("div", { class: "scroll table", role: "region", tabindex: 0, "aria-label": "Chosen cells" }, table),
    more);
  for (const hidden of [section, ...document.querySelectorAll("nav li")]) hidden.hidden = false;
  reset();
  update();
  let width = charts.clientWidth;
  new ResizeObserver(() => {
    if (charts.clientWidth !== width) update();
    width = charts.clientWidth;
  }).observe(charts);
})();
