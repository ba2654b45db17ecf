// The origin of a small meeting: its page, its tokens and its signaling. It runs wherever the relay's signaling proxy
// reaches it; browsers only ever see the relay.
//
// node server.mjs --secret FILE [--listen 127.0.0.1:8080]      FILE is also the relay's: a key of its auth.jwt

import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: wish } = parseArgs({
  options: {
    secret: { type: "string" },
    listen: { type: "string", default: "127.0.0.1:8080" },
    // Where npm put its modules, if not beside this file.
    modules: { type: "string" },
  },
});
if (!wish.secret) {
  console.error("--secret is missing: name the file of the HS256 key that the relay knows as well (auth.jwt.keys)");
  process.exit(2);
}
const secret = readFileSync(wish.secret, "utf8").trim();
const folder = fileURLToPath(new URL(".", import.meta.url));
const require = createRequire(wish.modules ? join(wish.modules, "ws", "package.json") : import.meta.url);
const { WebSocketServer } = require("ws");

const PAGES = new Map([
  ["/", ["index.html", "text/html; charset=utf-8"]],
  ["/meeting.js", ["meeting.js", "text/javascript"]],
]);
const TOKEN_SECONDS = 600;

/** A token for one user of the relay, as RFC 7519 has it. */
function token(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: "meeting", aud: "relay", sub: user, scope: "ice", exp: now + TOKEN_SECONDS };
  const signed = `${part({ alg: "HS256", typ: "JWT", kid: "meeting" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://origin");
  const user = url.searchParams.get("user") ?? "";
  if (url.pathname === "/token" && /^[a-z0-9-]{1,32}$/.test(user)) {
    // A real application hands it to those alone who have signed in.
    response.setHeader("content-type", "text/plain").end(token(user));
    return;
  }
  const page = PAGES.get(url.pathname);
  if (!page || request.method !== "GET") {
    response.writeHead(page ? 405 : 404).end();
    return;
  }
  response.setHeader("content-type", page[1]).end(await readFile(join(folder, page[0])));
});

/** Rooms of two: what one says, the other hears. */
const rooms = new Map();
const sockets = new WebSocketServer({ server, path: "/signal", maxPayload: 64 * 1024 });
sockets.on("connection", (socket, request) => {
  const name = new URL(request.url, "http://origin").searchParams.get("room") ?? "";
  const room = rooms.get(name) ?? new Set();
  if (room.size >= 2) {
    socket.close(4000, "the room is full");
    return;
  }
  rooms.set(name, room.add(socket));
  const others = () => [...room].filter((other) => other !== socket);
  // Who comes second is polite and begins.
  socket.send(JSON.stringify({ welcome: { polite: room.size === 2 } }));
  socket.on("message", (text) => others().forEach((other) => other.send(String(text))));
  socket.on("close", () => {
    room.delete(socket);
    others().forEach((other) => other.send(JSON.stringify({ left: true })));
    if (room.size === 0) rooms.delete(name);
  });
});

const [, host, port] = /^(.*):(\d+)$/.exec(wish.listen) ?? [];
server.listen(Number(port), host, () => console.log(`meeting origin on http://${host}:${server.address().port}`));
