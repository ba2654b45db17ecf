// signalingBaseUrl: one address for signaling and media, written as a host name or as a URL.

import { CloudProxyError } from "./faults.js";

const WEB = new Set(["https:", "http:"]);

/**
 * "proxy.example.com", "proxy.example.com:8443" and "https://proxy.example.com/app" all name a proxy. Without a scheme
 * it is https; http is only taken for this machine itself, where pages are trusted without TLS.
 *
 * @param {unknown} text
 * @returns {URL} ends in a slash
 */
export function baseUrl(text) {
  if (typeof text !== "string" || text.trim() === "") {
    throw refused(text, "is not an address");
  }
  const written = text.trim();
  let url;
  try {
    url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(written) ? written : `https://${written}`);
  } catch {
    throw refused(text, "is not an address");
  }
  if (!WEB.has(url.protocol)) {
    throw refused(text, `has the scheme ${url.protocol.slice(0, -1)}`);
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw refused(text, "is not encrypted");
  }
  if (url.username || url.password || url.search || url.hash) {
    throw refused(text, "has more than a host, a port and a path");
  }
  if (!url.pathname.endsWith("/")) {
    url.pathname += "/";
  }
  return url;
}

/**
 * A path of the application behind the proxy. What is absolute must be the proxy's own: nothing is sent elsewhere.
 *
 * @param {URL} base
 * @param {string | URL} path
 */
export function behind(base, path) {
  const written = String(path);
  const url = new URL(written.startsWith("/") && !written.startsWith("//") ? written.slice(1) : written, base);
  const web = url.protocol.replace(/^ws/, "http");
  if (web !== base.protocol || url.host !== base.host) {
    throw new CloudProxyError("bad-option", `${written} is not behind ${base.host}: give a path, such as "/rooms/1"`);
  }
  return url;
}

/** @param {string} host */
function isLoopback(host) {
  return host === "localhost" || host === "[::1]" || host.endsWith(".localhost") || /^127\./.test(host);
}

/**
 * @param {unknown} text
 * @param {string} why
 */
function refused(text, why) {
  return new CloudProxyError(
    "bad-option",
    `signalingBaseUrl ${JSON.stringify(text)} ${why}: give the proxy's host name, such as "proxy.example.com"`,
  );
}
