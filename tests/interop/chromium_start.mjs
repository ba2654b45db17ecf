// A headless Chromium with a profile of its own, for as long as a visit takes. Prints what came of it as one JSON line.
// Needs puppeteer-core.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { FLAGS } from "./chromium_flags.mjs";

/** What every script that starts one takes. */
export const OPTIONS = {
  timeout: { type: "string", default: "60" },
  chromium: { type: "string", default: "/usr/bin/chromium" },
  // An ES import ignores NODE_PATH, hence the folder by name.
  modules: { type: "string", default: process.env.NODE_PATH ?? "." },
};

/**
 * @param wish the values of OPTIONS
 * @param visit from a browser to what is printed; `ok` decides the exit code
 */
export async function report(wish, visit) {
  const result = await withBrowser(wish, visit).catch((fault) => ({ ok: false, error: String(fault) }));
  console.log(JSON.stringify(result));
  process.exitCode = result.ok ? 0 : 1;
}

// Chromium tells its pages two seconds late of the network it found when it started, and aborts what is under way then.
const LATE = 3_000;
const SETTLED = 10_000;
const settling = new WeakMap();

/**
 * Opens `url` once Chromium has settled; again if it learned of the namespace's network later still and gave up for that, then
 * `failed` is called. Chromium's own page about it may come after the second try has begun: what counts is which page stays.
 */
export async function open(page, url, failed = () => {}) {
  const browser = page.browser();
  if (!settling.has(browser)) settling.set(browser, new Promise((done) => setTimeout(done, LATE)));
  await settling.get(browser);
  const { origin } = new URL(url);
  const isThere = (origin) => location.origin === origin && document.readyState === "complete";
  for (let again = 3; ; again -= 1) {
    try {
      const answer = await page.goto(url);
      if (answer && !answer.ok()) throw new Error(`${url} answered ${answer.status()}`);
      await page.waitForFunction(isThere, { timeout: SETTLED }, origin);
      return;
    } catch (fault) {
      const learned = String(fault).includes("ERR_NETWORK_CHANGED") || page.url().startsWith("chrome-error:");
      if (again === 0 || !learned) throw fault;
      failed();
    }
  }
}

async function withBrowser(wish, visit) {
  if (!existsSync(wish.chromium)) throw new Error(`no Chromium at ${wish.chromium}`);
  const require = createRequire(join(wish.modules, "puppeteer-core", "package.json"));
  const { default: puppeteer } = await import(require.resolve("puppeteer-core"));
  const profile = mkdtempSync(join(tmpdir(), "relay-chromium-"));
  let browser;
  try {
    browser = await puppeteer.launch({
      executablePath: wish.chromium,
      headless: true,
      // A pipe, not a port: the client namespace is no place for another listener.
      pipe: true,
      userDataDir: profile,
      args: FLAGS,
    });
    return await visit(browser);
  } finally {
    await browser?.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
