// Two headless Chromium, each in a network namespace, in one meeting (docs/examples/meeting). Reads commands, one JSON a
// line, and answers each with one line: {"do":"open","mode":M}, {"do":"look"}, {"do":"mark"}, {"do":"say","text":T}, {"do":"close"}.
//
// node cloud_call.mjs --modules FOLDER --near NS --near-host HOST --far NS --far-host HOST

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { FLAGS } from "./chromium_flags.mjs";
import { open } from "./chromium_start.mjs";

const text = { type: "string" };
const { values: wish } = parseArgs({
  options: { modules: text, near: text, "near-host": text, far: text, "far-host": text },
});
const require = createRequire(join(wish.modules, "puppeteer-core", "package.json"));
const { default: puppeteer } = await import(require.resolve("puppeteer-core"));

const flags = [
  ...FLAGS,
  // Nobody looks at these windows, and they are to go on all the same.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  // Addresses need no resolver, and what the browser would look up for itself is nobody's business here.
  `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${wish["near-host"]}, EXCLUDE ${wish["far-host"]}`,
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
];
const folder = mkdtempSync(join(tmpdir(), "relay-call-"));
let room = 0;
let pages = [];

/** A browser whose network is that of a namespace. */
async function browser(namespace) {
  const program = join(folder, namespace);
  writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${namespace} /usr/bin/chromium "$@"\n`, { mode: 0o755 });
  return puppeteer.launch({
    executablePath: program,
    headless: true,
    pipe: true,
    userDataDir: join(folder, `profile-${namespace}`),
    args: flags,
  });
}

/** Runs in the page: when frames of the other's video were shown, from the first on. */
function watchFrames() {
  window.shown = { frames: 0, first: null, last: null, gap: 0 };
  const video = document.getElementById("other");
  // A page of the browser's own, about what went wrong.
  if (!video) return;
  const shown = (now) => {
    const seen = window.shown;
    seen.first ??= now;
    seen.gap = Math.max(seen.gap, now - (seen.last ?? now));
    seen.last = now;
    seen.frames += 1;
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}

/** Runs in the page. */
async function lookAround() {
  const { shown, meeting } = window;
  const report = [...((await meeting?.connection?.getStats()) ?? new Map()).values()];
  const transport = report.find((entry) => entry.type === "transport");
  const pair = report.find((entry) => entry.id === transport?.selectedCandidatePairId);
  const local = report.find((entry) => entry.id === pair?.localCandidateId);
  const inbound = report.find((entry) => entry.type === "inbound-rtp" && entry.kind === "video");
  return {
    now: performance.now(),
    frames: shown.frames,
    first_ms: shown.first,
    // One that has begun counts as well.
    gap_ms: Math.max(shown.gap, shown.last === null ? 0 : performance.now() - shown.last),
    decoded: inbound?.framesDecoded ?? 0,
    relay_protocol: local?.relayProtocol ?? null,
    candidate_type: local?.candidateType ?? null,
    channel: meeting?.channel?.readyState ?? null,
    heard: meeting?.heard ?? [],
    events: meeting?.events ?? [],
  };
}

const browsers = await Promise.all([browser(wish.near), browser(wish.far)]);
const hosts = [wish["near-host"], wish["far-host"]];

const commands = {
  async open({ mode }) {
    room += 1;
    pages = await Promise.all(browsers.map((one) => one.newPage()));
    await Promise.all(
      pages.map(async (page, i) => {
        page.on("pageerror", (fault) => console.error(`${i ? "far" : "near"}: ${fault}`));
        await page.evaluateOnNewDocument(`addEventListener("DOMContentLoaded", ${watchFrames})`);
        const query = `room=${room}&name=${i ? "far" : "near"}&mode=${mode}`;
        await open(page, `https://${hosts[i]}/?${query}`);
      }),
    );
    return {};
  },
  async look() {
    const [near, far] = await Promise.all(pages.map((page) => page.evaluate(lookAround)));
    return { near, far };
  },
  async mark() {
    await Promise.all(pages.map((page) => page.evaluate(() => void (window.shown.gap = 0))));
    return {};
  },
  async say({ text }) {
    await pages[0].evaluate((text) => window.meeting.channel.send(text), text);
    return {};
  },
  async close() {
    await Promise.all(pages.map((page) => page.close()));
    return {};
  },
};

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const answer = await commands[command.do](command).catch((fault) => ({ fault: String(fault) }));
  console.log(JSON.stringify(answer));
}
await Promise.all(browsers.map((one) => one.close()));
rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
