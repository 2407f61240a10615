// Opens report pages in Chromium and fails on any defect that a reader would notice.
//
//   node check.mjs [--shots DIR] PAGE.html [--prints TEXT]...
//
// For each page, at the width of a desktop and of a phone, the script checks: no error in the console, no
// request except for the page itself, nothing wider than the window, no violation that axe-core finds; and that
// the section "Explore", if the page has one, does what its controls say (explore.mjs). Without scripts that
// section is hidden. In print it checks: nothing cut off, no figure across two sheets, and a PDF with the page's last words and
// each TEXT (if pdftotext is installed). CHROMIUM names the browser.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { explore } from "./explore.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [1280, 390];
// Size of A4 between the margins of page.css in CSS pixels: portrait and landscape.
const MM = 96 / 25.4;
const SHEETS = { upright: { width: (210 - 24) * MM, height: (297 - 28) * MM }, across: { width: (297 - 24) * MM } };

const { pages, shots, prints } = words(process.argv.slice(2));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const faults = [];
try {
  for (const path of pages) await check(resolve(path));
} finally {
  await browser.close();
}
for (const fault of faults) console.error(fault);
console.log(`${pages.length} pages, ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;

function words(given) {
  const found = { pages: [], shots: null, prints: [] };
  for (let i = 0; i < given.length; i++) {
    if (given[i] === "--shots") found.shots = given[++i];
    else if (given[i] === "--prints") found.prints.push(given[++i]);
    else found.pages.push(given[i]);
  }
  if (found.pages.length === 0) throw new Error("no page is named");
  if (found.shots !== null) mkdirSync(found.shots, { recursive: true });
  return found;
}

async function check(path) {
  const name = `${basename(dirname(path))}/${basename(path)}`;
  const fault = (text) => faults.push(`${name}: ${text}`);
  const url = pathToFileURL(path).href;
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") fault(`the console says: ${message.text()}`);
  });
  page.on("pageerror", (error) => fault(`a script fails: ${error.message}`));
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) fault(`asks for ${request.url()}`);
  });
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: width < 600 ? 844 : 900 });
    await page.goto(url);
    await examine(page, width, fault, null);
    if (shots !== null) {
      const file = `${basename(dirname(path))}-${width}.png`;
      await page.screenshot({ path: join(shots, file), fullPage: true });
    }
    if ((await page.locator("section.explore").count()) === 1) {
      await explore(page, (text) => fault(`at ${width} pixels, Explore: ${text}`));
      await examine(page, width, fault, "section.explore");
    }
  }
  await page.goto(url);
  await print(page, path, fault);
  await page.close();
  await withoutScripts(url, fault);
}

async function examine(page, width, fault, part) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  if (wide > width) fault(`${wide} pixels wide in a window of ${width}`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate((part) => globalThis.axe.run(part ?? document, { resultTypes: ["violations"] }), part);
  for (const { id, help, nodes } of violations) {
    fault(`at ${width} pixels axe-core finds ${id} (${help}): ${nodes[0].html.slice(0, 200)}`);
  }
}

async function withoutScripts(url, fault) {
  const page = await browser.newPage({ javaScriptEnabled: false });
  await page.goto(url);
  for (const place of ["section.explore", "nav li:has(a[href='#explore'])"]) {
    if (await page.locator(place).isVisible()) fault(`without scripts ${place} is visible`);
  }
  if ((await page.locator("main h2:visible").count()) === 0) fault("without scripts no heading is visible");
  await page.close();
}

async function print(page, path, fault) {
  await page.emulateMedia({ media: "print" });
  for (const [across, { width }] of [[false, SHEETS.upright], [true, SHEETS.across]]) {
    await page.setViewportSize({ width: Math.floor(width), height: 1000 });
    const cut = await page.evaluate(
      ([across, room]) =>
        [...document.querySelectorAll("body > *, section, section *")]
          .filter((element) => !element.closest("svg") || element.tagName === "svg")
          .filter((element) => (element.closest(".wide") !== null) === across)
          .filter((element) => element.getBoundingClientRect().right > room + 1)
          .map((element) => `${element.tagName} ${element.textContent.slice(0, 60)}`),
      [across, Math.floor(width)],
    );
    if (cut.length > 0) fault(`${cut.length} elements are cut off in print, the first: ${cut[0]}`);
    if (across) continue;
    const tall = await page.evaluate(
      (height) =>
        [...document.querySelectorAll("figure")].filter((f) => f.getBoundingClientRect().height > height).length,
      SHEETS.upright.height,
    );
    if (tall > 0) fault(`${tall} figures are taller than a sheet`);
  }
  const pdf = await page.pdf({ preferCSSPageSize: true });
  const last = await page.evaluate(() => [...document.querySelectorAll("h2")].at(-1).textContent);
  if (shots !== null) writeFileSync(join(shots, `${basename(dirname(path))}.pdf`), pdf);
  let text;
  try {
    text = execFileSync("pdftotext", ["-layout", "-", "-"], { input: pdf, maxBuffer: 1 << 26 }).toString();
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    console.error("SKIPPED the words of the PDF: no pdftotext (apt-get install poppler-utils)");
    return;
  }
  for (const expected of [last, ...prints]) {
    if (!text.includes(expected)) fault(`the PDF lacks "${expected}"`);
  }
}
