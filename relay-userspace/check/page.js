// The page: asks, tells how far it is, shows what was found. Measures nothing itself.

import { baseUrl } from "/sdk/address.js";
import { Credentials, only } from "/sdk/credentials.js";
import { measure } from "./media.js";
import { found, headline, judge, rules, text } from "./report.js";
import { https, lookup, webSocket } from "./web.js";

const element = (id) => document.getElementById(id);
const TRANSPORTS = [
  ["media-udp", "udp", "media over UDP"],
  ["media-tls", "tcp", "media over TLS"],
];

/** Of a link that carries a token; it is taken out of the address, which people copy. */
function tokenOfTheLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname);
    element("token").value = token;
  }
}

function tell(words, done, steps) {
  element("status").textContent = words;
  element("progress").hidden = done === steps;
  element("progress").max = steps;
  element("progress").value = done;
}

async function run(token) {
  const started = performance.now();
  const steps = token ? 6 : 2;
  const checks = [lookup()];
  let open = [];
  let chosen = null;
  tell("HTTPS …", 0, steps);
  checks.push(await https());
  tell("WebSocket …", 1, steps);
  checks.push(await webSocket());
  if (token) {
    tell("Credential …", 2, steps);
    const { check, servers } = await credential(token);
    checks.push(check);
    for (const [step, [name, leg, words]] of TRANSPORTS.entries()) {
      if (!servers) break;
      tell(`${words} …`, 3 + step, steps);
      const one = await media(name, only(servers, leg));
      checks.push(one.check);
      open = open.concat(one.open);
    }
    if (servers) {
      tell("The choice of a client …", 5, steps);
      chosen = await choice(servers);
    }
  }
  tell("Done.", steps, steps);
  return judge(checks, chosen, open, performance.now() - started);
}

async function credential(token) {
  const check = { check: "credential", target: location.host };
  try {
    const asking = new Credentials(baseUrl(location.origin), "UDP_OVER_TCP", token, fetch.bind(window));
    return { check: { ...check, state: "works", found: "granted" }, servers: await asking.servers() };
  } catch (fault) {
    return { check: { ...check, state: "fails", found: fault.message }, servers: null };
  }
}

async function media(name, servers) {
  const urls = servers.flatMap((server) => server.urls);
  const check = { check: name, target: urls.join(" ") };
  if (urls.length === 0) {
    return { check: { ...check, target: location.host, state: "skipped", found: "the relay offers none" }, open: [] };
  }
  try {
    const { elapsed_ms, rtt_ms, loss, proto } = await measure(servers);
    const words = `connected in ${elapsed_ms} ms by ${proto}`;
    const state = loss.lost === loss.sent ? "fails" : "works";
    return { check: { ...check, state, found: words, rtt_ms, loss }, open: [] };
  } catch (fault) {
    return { check: { ...check, state: "fails", found: fault.message }, open: rules(urls) };
  }
}

async function choice(servers) {
  try {
    const { proto, elapsed_ms } = await measure(servers);
    return { proto: proto === "udp" ? "udp" : "tcp", elapsed_ms };
  } catch {
    return null;
  }
}

function show(report) {
  element("verdict").textContent = headline(report);
  element("checks").replaceChildren(...report.checks.map(row));
  element("open").replaceChildren(...report.open.map((one) => item(`Ask for: ${one.rule}`)));
  element("report").textContent = text(report);
  element("json").textContent = JSON.stringify(report, null, 1);
  element("result").hidden = false;
  element("verdict").focus();
}

function row(check) {
  const row = document.createElement("tr");
  row.className = check.state;
  for (const words of [check.check, check.state, found(check)]) {
    row.insertCell().textContent = words;
  }
  return row;
}

function item(words) {
  const item = document.createElement("li");
  item.textContent = words;
  return item;
}

async function copy(from) {
  try {
    await navigator.clipboard.writeText(element(from).textContent);
    element("status").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(element(from));
    element("status").textContent = "Selected: copy it with your keyboard.";
  }
}

element("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("start").disabled = true;
  element("result").hidden = true;
  try {
    show(await run(element("token").value.trim()));
  } catch (fault) {
    tell(`The check itself failed: ${fault.message}`, 1, 1);
  } finally {
    element("start").disabled = false;
  }
});
element("copy").addEventListener("click", () => copy("report"));
element("copy-json").addEventListener("click", () => copy("json"));
tokenOfTheLink();
