// The relay's /check page in headless Chromium, used as a visitor would: opens it, fills in the token, presses the button.
// Prints the page's own report as one JSON line, with what the visitor saw beside it. Needs puppeteer-core.
//
// node check_page.mjs --url https://HOST/check --modules DIR [--token T] [--timeout 60] [--chromium PATH]

import { parseArgs } from "node:util";

import { OPTIONS, open, report } from "./chromium_start.mjs";

const { values: wish } = parseArgs({
  options: { ...OPTIONS, url: { type: "string" }, token: { type: "string", default: "" } },
});

async function visit(browser) {
  const page = await browser.newPage();
  const faults = [];
  const asked = [];
  page.on("pageerror", (fault) => faults.push(String(fault)));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  page.on("request", (request) => asked.push(new URL(request.url()).origin));
  await open(page, wish.url, () => faults.splice(0));
  await page.evaluate(() => {
    window.told = [];
    new MutationObserver(() => window.told.push(document.getElementById("status").textContent)).observe(
      document.getElementById("status"),
      { childList: true },
    );
  });
  if (wish.token) await page.type("#token", wish.token);
  await page.click("#start");
  await page.waitForSelector("#result:not([hidden])", { timeout: Number(wish.timeout) * 1000 });
  const seen = await page.evaluate(() => ({
    report: JSON.parse(document.getElementById("json").textContent),
    text: document.getElementById("report").textContent,
    headline: document.getElementById("verdict").textContent,
    focused: document.activeElement.id,
    rows: document.querySelectorAll("#checks tr").length,
    told: window.told,
  }));
  await page.click("#copy");
  await page.waitForFunction(() => /Copied|Selected/.test(document.getElementById("status").textContent));
  return { ok: true, ...seen, faults, origins: [...new Set(asked)] };
}

await report(wish, visit);
