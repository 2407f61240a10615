// Uses the section "Explore" of a report as a reader does, by pointer and by keyboard, and compares what it shows with
// the page's data.

// Reads the section: rows of the table, lines and points of the figure, and the sentence about them.
const seen = (page) =>
  page.evaluate(() => {
    const section = document.querySelector("section.explore");
    const texts = (root, wanted) => [...root.querySelectorAll(wanted)].map((node) => node.textContent);
    return {
      data: JSON.parse(section.querySelector("script").textContent),
      rows: [...section.querySelectorAll("tbody tr")].map((row) => texts(row, "th, td")),
      panels: texts(section, ".panel p"),
      lines: section.querySelectorAll(".line").length,
      spots: [...section.querySelectorAll(".line > g")].map((spot) => ({
        text: spot.querySelector("title").textContent,
        y: Number(spot.querySelector("circle").getAttribute("cy")),
        x: Number(spot.querySelector("circle").getAttribute("cx")),
      })),
      axis: texts(section, "text.name")[0],
      status: section.querySelector("[role=status]").textContent,
      sorted: [...section.querySelectorAll("th[aria-sort]")].map((head) => [head.textContent, head.getAttribute("aria-sort")]),
    };
  });

// The rows that the data have for the chosen boxes.
const expected = (page) =>
  page.evaluate(() => {
    const section = document.querySelector("section.explore");
    const data = JSON.parse(section.querySelector("script").textContent);
    const chosen = (legend) => {
      const group = [...section.querySelectorAll("fieldset")].find((f) => f.querySelector("legend").textContent === legend);
      return [...group.querySelectorAll("input")].map((box) => box.checked);
    };
    const [networks, faultModels, protections] = ["Networks", "Fault models", "Protections"].map(chosen);
    const [from, to] = [...section.querySelectorAll("select")].map((select) => data.rates[select.value].value);
    return data.cells
      .filter((cell) => networks[cell.network] && faultModels[cell.faultModel] && protections[cell.protection])
      .filter((cell) => data.rates[cell.rate].value >= from && data.rates[cell.rate].value <= to)
      .map((cell) => [
        data.networks[cell.network].name,
        data.faultModels[cell.faultModel].name,
        data.protections[cell.protection].name,
        data.rates[cell.rate].text,
        `${cell.trials}`,
        ...cell.text,
      ]);
  });

/** Tries every control and calls `fault` with a sentence for each thing that is wrong. */
export async function explore(page, fault) {
  const section = page.locator("section.explore");
  if (!(await section.isVisible())) return fault("the section is hidden");
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  async function agrees(when) {
    const now = await seen(page);
    if (now.rows.length < 200 && !same(now.rows, await expected(page))) fault(`${when}, the table differs from the data`);
    return now;
  }
  const group = (legend) => section.locator("fieldset", { has: page.locator(`legend:text-is("${legend}")`) });

  const start = await agrees("at first");
  if (start.rows.length === 0 || start.lines === 0) fault("nothing is shown at first");
  // Every point of the figure is a cell or a network without faults, with the same numbers as in its row.
  for (const { text, x, y } of start.spots) {
    if (!Number.isFinite(x + y)) fault(`the point "${text}" has no place`);
    const known = start.rows.some(([, , protection, rate, n, value, drop, interval]) =>
      text.startsWith(`${protection} at ${rate}: `) && text.includes(` ${value}`) && text.includes(` ${drop}`) &&
      text.endsWith(` interval ${interval}, n = ${n}`));
    if (!known && !text.includes(", fault-free: ")) fault(`the point "${text}" is in no row`);
  }

  const protections = group("Protections");
  if (start.data.protections.length > 1) {
    await protections.locator("input").first().uncheck();
    const fewer = await agrees("without the first protection");
    const first = start.data.protections[0].name;
    if (fewer.rows.some((row) => row[2] === first)) fault(`rows of ${first} stay without it`);
    if (fewer.lines >= start.lines && !start.status.includes("first 12 lines")) fault("its lines stay");
    await protections.getByRole("button", { name: "None", exact: true }).click();
    const none = await agrees("without protections");
    if (none.panels.length > 0 || !none.status.includes("Choose at least one")) fault("nothing says that nothing is chosen");
    await protections.getByRole("button", { name: "All", exact: true }).click();
    if (!same((await agrees("with all protections")).rows, start.rows)) fault("all protections are not those of the start");
  }
  if (start.data.networks.length > 1) {
    await group("Networks").locator("input").first().uncheck();
    const fewer = await agrees("without the first network");
    if (fewer.panels.length >= start.panels.length) fault("the panel of a network stays");
  }
  if (start.data.rates.length > 1) {
    await section.locator("select").first().selectOption({ index: 1 });
    const fewer = await agrees("from the second rate");
    if (fewer.rows.some((row) => row[3] === start.data.rates[0].text)) fault("the lowest rate stays");
  }
  await section.getByRole("button", { name: "Reset" }).click();
  if (!same((await agrees("after a reset")).rows, start.rows)) fault("a reset does not restore the start");

  // A larger drop is higher in one view and lower in the other; scales keep the order of rates.
  const place = (now) => new Map(now.spots.map(({ text, x, y }, i) => [`${i} ${text}`, { x, y }]));
  await section.getByRole("radio", { name: start.data.words.drop, exact: true }).check();
  const drops = await seen(page);
  if (drops.axis !== start.data.axes.drop) fault(`the axis of drops is named "${drops.axis}"`);
  if (same([...place(drops)], [...place(start)])) fault("drops are where values were");
  for (const [legend, when] of [["Axis of values", "on a logarithmic axis"], ["Axis of rates", "on linear rates"]]) {
    const wanted = legend === "Axis of values" ? "logarithmic" : "linear";
    await group(legend).getByRole("radio", { name: wanted, exact: true }).check();
    const now = await agrees(when);
    if (now.spots.some(({ x, y }) => !Number.isFinite(x + y))) fault(`a point has no place ${when}`);
    if (now.spots.length !== start.spots.length) fault(`points are missing ${when}`);
  }

  // Sorting.
  const number = (text) => Number(text.replace("−", "-"));
  const head = section.locator("thead").getByRole("button", { name: start.data.headings.drop, exact: true });
  await head.click();
  const up = await seen(page);
  if (!same(up.sorted.map(([, order]) => order), ["ascending"])) fault(`the table is sorted by ${JSON.stringify(up.sorted)}`);
  const falls = (rows) => rows.some((row, i) => i > 0 && number(row[6]) < number(rows[i - 1][6]));
  if (falls(up.rows)) fault("drops do not ascend");
  // The keyboard alone: a header, a box, a choice of one and a list.
  await head.focus();
  await page.keyboard.press("Enter");
  const down = await seen(page);
  if (falls(down.rows.slice().reverse()) || down.sorted[0]?.[1] !== "descending") fault("Enter does not turn the order around");
  await protections.locator("input").first().focus();
  await page.keyboard.press("Space");
  const unchecked = await seen(page);
  if (start.data.protections.length > 1 && unchecked.rows.length >= down.rows.length) fault("the space bar does not uncheck a box");
  await page.keyboard.press("Space");
  await section.getByRole("radio", { name: start.data.words.drop, exact: true }).focus();
  await page.keyboard.press("ArrowLeft");
  if ((await seen(page)).axis !== start.data.axes.value) fault("an arrow key does not change the values");
  if (start.data.rates.length > 1) {
    await section.locator("select").last().focus();
    await page.keyboard.press("ArrowUp");
    if ((await seen(page)).rows.length >= down.rows.length) fault("an arrow key does not change the rates");
  }
  // Every control is reached by Tab, in the order of the page.
  const controls = await page.evaluate(() => {
    const wanted = "button, select, input[type=checkbox], input[type=radio]:checked, [tabindex]";
    const all = [...document.querySelector("section.explore").querySelectorAll(wanted)];
    globalThis.controls = all.filter((node) => node.offsetParent !== null);
    globalThis.reached = [];
    document.addEventListener("focusin", ({ target }) => globalThis.reached.push(target));
    globalThis.controls[0].focus();
    return globalThis.controls.length;
  });
  for (let i = 1; i < controls; i++) await page.keyboard.press("Tab");
  const missed = await page.evaluate(() => globalThis.controls.findIndex((control, i) => control !== globalThis.reached[i]));
  if (missed >= 0) fault(`Tab misses control ${missed + 1} of ${controls}`);
}
