import assert from "node:assert/strict";
import { test } from "node:test";

import { Ranks } from "../src/rank.js";

const UDP = 58663167;
const TLS = 8331263;
const candidate = (priority, fragment) =>
  `candidate:1 1 udp ${priority} 10.0.0.1 5000 typ relay raddr 0.0.0.0 rport 0 generation 0 ufrag ${fragment} network-id 1`;
const priority = (line) => Number(line.split(" ")[3]);

test("every candidate of a restart ranks above all before it, and below any local one", () => {
  const ranks = new Ranks();
  const [udp, tls, later] = [[UDP, "a"], [TLS, "a"], [TLS, "b"]].map(([p, f]) => priority(ranks.line(candidate(p, f), f)));
  assert.ok(tls < udp && udp < later && later < TLS, `${tls} ${udp} ${later}`);
});

test("nothing else of a line changes", () => {
  const line = candidate(UDP, "a");
  const ranked = new Ranks().line(line, null);
  assert.equal(ranked.replace(String(priority(ranked)), String(UDP)), line);
  assert.equal(new Ranks().line("", null), "");
});

test("a description tells the generation of its candidates and of those that follow", () => {
  const ranks = new Ranks();
  const sdp = (fragment) => ["v=0", `a=ice-ufrag:${fragment}`, `a=${candidate(UDP, fragment)}`, ""].join("\r\n");
  const of = (text) => priority(text.split("\r\n")[2]);
  const first = of(ranks.description(sdp("a")));
  const second = of(ranks.description(sdp("b")));
  assert.ok(first < second);
  assert.equal(of(ranks.description(sdp("a"))), first, "as before");
  const trickled = ranks.line(candidate(UDP, "b").replace(" ufrag b", ""), "b");
  assert.equal(priority(trickled), second);
});

test("restarts without end never reach local priorities", () => {
  const ranks = new Ranks();
  let last;
  for (let restart = 0; restart < 3000; restart++) last = priority(ranks.line(candidate(UDP, `f${restart}`), null));
  assert.ok(last < TLS);
});
