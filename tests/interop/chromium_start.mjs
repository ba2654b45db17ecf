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

/** Opens `url`, again if Chromium, just started, has only now learned of the namespace's network and gave up for that; then `failed` is called. */
export async function open(page, url, failed = () => {}) {
  for (let again = 3; ; again -= 1) {
    try {
      return await page.goto(url);
    } catch (fault) {
      if (again === 0 || !String(fault).includes("ERR_NETWORK_CHANGED")) throw fault;
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
