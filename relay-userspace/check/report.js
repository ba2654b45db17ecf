// From what was found to what is said: the verdict, the rules to ask for, the text to hand on. The fields are those of
// `relay check --json` (docs/check.md). Measures nothing.

/** @param {number[]} times milliseconds */
export function spread(times) {
  if (times.length === 0) return undefined;
  const sorted = [...times].sort((a, b) => a - b);
  const round = (time) => Math.round(time * 10) / 10;
  return { min: round(sorted[0]), median: round(sorted[sorted.length >> 1]), count: sorted.length };
}

/** What to ask the firewall's keeper for. `urls`: of servers that cannot be reached. */
export function rules(urls) {
  return urls.map((url) => {
    const [, address, port] = /^turns?:(.*):(\d+)\?/.exec(url);
    const proto = /transport=udp/.test(url) ? "udp" : "tcp";
    const name = proto.toUpperCase();
    const rule = `allow ${name} from here to ${address} port ${port}, outbound, and its answers`;
    return { proto, address, port: Number(port), direction: "outbound", rule };
  });
}

/** `chosen`: what a client in UDP_OVER_TCP uses. */
export function judge(checks, chosen, open, elapsed_ms) {
  const bad = checks.some((check) => check.state === "fails");
  const asked = checks.some((check) => check.check === "media-udp");
  const usable = asked ? chosen !== null : checks.some((check) => check.check === "https" && check.state === "works");
  const verdict = !usable ? "nothing" : bad ? "impaired" : "works";
  return { server: location.host, mode: "UDP_OVER_TCP", verdict, elapsed_ms: Math.round(elapsed_ms), checks, transport: chosen, open };
}

const VERDICTS = {
  works: "Everything that was checked works",
  impaired: "It works, but not all of it",
  nothing: "It does not work from here",
};

export function headline(report) {
  return VERDICTS[report.verdict];
}

export function found(check) {
  const parts = [check.found];
  if (check.rtt_ms) parts.push(`round trip ${check.rtt_ms.median} ms (least ${check.rtt_ms.min})`);
  if (check.loss) parts.push(`${check.loss.lost} of ${check.loss.sent} packets of ${check.loss.bytes} bytes lost`);
  return parts.join(", ");
}

export function text(report) {
  const lines = [`${report.server}: ${headline(report)} (${report.mode}, ${navigator.userAgent})`];
  for (const check of report.checks) {
    lines.push(`${check.state.padEnd(8)}${check.check.padEnd(12)}${check.target}: ${found(check)}`);
  }
  if (report.transport) {
    lines.push(`media goes by ${report.transport.proto}, chosen in ${report.transport.elapsed_ms} ms`);
  }
  lines.push(...report.open.map((one) => `to open: ${one.rule}`));
  return lines.join("\n");
}
