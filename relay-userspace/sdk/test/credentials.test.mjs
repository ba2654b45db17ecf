import assert from "node:assert/strict";
import { test } from "node:test";

import { Credentials, only } from "../src/credentials.js";

const BASE = new URL("https://proxy.example.com/");
const SERVERS = [
  {
    urls: ["turn:proxy.example.com:3478?transport=udp", "turns:proxy.example.com:443?transport=tcp"],
    username: "u",
    credential: "c",
  },
];

/** A proxy that answers so, and what it was asked. */
function proxy(answer) {
  const asked = [];
  const fetch = async (url, init) => {
    asked.push({ url: String(url), ...init });
    const { status = 200, headers, body } = typeof answer === "function" ? answer(asked.length) : answer;
    return new Response(JSON.stringify(body), { status, headers });
  };
  return { asked, credentials: new Credentials(BASE, "TCP_ONLY", async () => "secret", fetch) };
}

test("the token and the mode are asked with, and the answer is used while it is fresh", async () => {
  const { asked, credentials } = proxy({ body: { iceServers: SERVERS, ttl: 600 } });
  const [first, second] = await Promise.all([credentials.servers(), credentials.servers()]);
  assert.deepEqual(first, SERVERS);
  assert.deepEqual(second, SERVERS);
  await credentials.servers();
  assert.equal(asked.at(-1).url, "https://proxy.example.com/v1/ice");
  assert.equal(asked[0].headers.authorization, "Bearer secret");
  assert.deepEqual(JSON.parse(asked[0].body), { mode: "TCP_ONLY" });
  assert.equal(asked.length, 1);
});

test("credentials about to end are asked for anew, and a failure is not kept", async () => {
  const { asked, credentials } = proxy((time) =>
    time === 1 ? { status: 500, body: {} } : { body: { iceServers: SERVERS, ttl: 0 } },
  );
  await assert.rejects(credentials.servers(), { code: "bad-answer" });
  await credentials.servers();
  await credentials.servers();
  assert.equal(asked.length, 3);
});

test("a refusal has the code, the status and the proxy's own words", async () => {
  const cases = [
    [{ status: 401, body: { error: "the token has ended" } }, { code: "unauthorized", status: 401, message: /has ended/ }],
    [{ status: 403, body: { error: "no relay here", code: "not_subject", side: "client" } }, { code: "policy-refused", rule: "not_subject", message: /no relay here/ }],
    [{ status: 409, body: { error: "mode: no", code: "mode_not_served", side: "relay" } }, { code: "policy-refused", rule: "mode_not_served", message: /mode: no/ }],
    [{ status: 503, headers: { "retry-after": "1" }, body: { error: "stops", code: "draining" } }, { code: "unreachable", retryAfter: 1, message: /stops/ }],
    [{ status: 429, headers: { "retry-after": "7" }, body: {} }, { code: "rate-limited", retryAfter: 7 }],
    [{ body: { iceServers: [] } }, { code: "bad-answer" }],
    [{ body: { iceServers: [{ urls: ["https://elsewhere"] }] } }, { code: "bad-answer" }],
  ];
  for (const [answer, refusal] of cases) {
    await assert.rejects(proxy(answer).credentials.servers(), refusal);
  }
});

test("a proxy out of reach is an error of its own", async () => {
  const fetch = async () => {
    throw new TypeError("Failed to fetch");
  };
  await assert.rejects(new Credentials(BASE, "UDP_ONLY", "t", fetch).servers(), { code: "unreachable", message: /proxy\.example\.com/ });
});

test("a leg gets the servers of its transport alone", () => {
  assert.deepEqual(only(SERVERS, "udp")[0].urls, ["turn:proxy.example.com:3478?transport=udp"]);
  assert.deepEqual(only(SERVERS, "tcp")[0].urls, ["turns:proxy.example.com:443?transport=tcp"]);
  assert.deepEqual(only(SERVERS, "any"), SERVERS);
  assert.deepEqual(only([{ urls: "turns:a" }], "udp"), []);
  assert.deepEqual(only([{ urls: "turn:a" }], "udp"), [{ urls: ["turn:a"] }]);
});
