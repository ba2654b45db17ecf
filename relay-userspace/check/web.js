// What of the web works from here: the lookup of the name, HTTPS and a WebSocket to the relay this page is from.

import { spread } from "./report.js";

const REQUESTS = 7;
const MESSAGES = 20;
const PATIENCE = 5000;

/** The lookup that loaded this page; a browser tells no page which addresses it found. */
export function lookup() {
  const [loaded] = performance.getEntriesByType("navigation");
  const took = loaded ? Math.round(loaded.domainLookupEnd - loaded.domainLookupStart) : 0;
  return { check: "dns", target: location.hostname, state: "works", found: took > 0 ? `looked up in ${took} ms` : "known already" };
}

export async function https() {
  const check = { check: "https", target: location.host };
  const times = [];
  try {
    for (let number = 0; number <= REQUESTS; number++) {
      const started = performance.now();
      const answer = await fetch("/v1/health", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      await answer.text();
      // The first one may pay for a connection.
      if (number > 0) times.push(performance.now() - started);
    }
  } catch (fault) {
    return { ...check, state: "fails", found: String(fault) };
  }
  return { ...check, state: "works", found: "answers", rtt_ms: spread(times) };
}

export async function webSocket() {
  const url = new URL("/v1/check/echo", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const check = { check: "websocket", target: location.host };
  const socket = new WebSocket(url);
  let late;
  try {
    const times = await Promise.race([
      echoes(socket),
      new Promise((_, reject) => {
        late = setTimeout(() => reject(new Error(`nothing came back for ${PATIENCE / 1000} s`)), PATIENCE);
      }),
    ]);
    return { ...check, state: "works", found: `${times.length} messages came back`, rtt_ms: spread(times) };
  } catch (fault) {
    return { ...check, state: "fails", found: fault.message };
  } finally {
    clearTimeout(late);
    socket.close();
  }
}

function echoes(socket) {
  return new Promise((resolve, reject) => {
    const times = [];
    let started;
    const next = () => {
      started = performance.now();
      socket.send(`${times.length}`.padEnd(64, "."));
    };
    socket.onopen = next;
    socket.onmessage = () => {
      times.push(performance.now() - started);
      if (times.length < MESSAGES) next();
      else resolve(times);
    };
    socket.onerror = () => reject(new Error("the connection does not come up: something on the way may not let WebSockets through"));
    socket.onclose = () => reject(new Error(`the connection broke after ${times.length} messages`));
  });
}
