import assert from "node:assert/strict";
import { test } from "node:test";

import { baseUrl, behind } from "../src/address.js";

test("a host name alone is a proxy", () => {
  assert.equal(baseUrl("proxy.example.com").href, "https://proxy.example.com/");
  assert.equal(baseUrl(" proxy.example.com:8443 ").href, "https://proxy.example.com:8443/");
  assert.equal(baseUrl("https://proxy.example.com/app").href, "https://proxy.example.com/app/");
  assert.equal(baseUrl("http://localhost:8080").href, "http://localhost:8080/");
});

test("what is no proxy's address is refused with what to write", () => {
  for (const wrong of [undefined, "", 7, "http://proxy.example.com", "ftp://a", "https://u:p@a", "https://a/?b", "https://", "a b"]) {
    assert.throws(() => baseUrl(wrong), { code: "bad-option", message: /such as "proxy\.example\.com"/ }, String(wrong));
  }
});

test("paths stay behind the proxy, wherever they try to go", () => {
  const base = baseUrl("https://proxy.example.com/app");
  assert.equal(behind(base, "/rooms/1?a=b").href, "https://proxy.example.com/app/rooms/1?a=b");
  assert.equal(behind(base, "rooms").href, "https://proxy.example.com/app/rooms");
  assert.equal(behind(base, "wss://proxy.example.com/app/ws").protocol, "wss:");
  for (const elsewhere of ["https://other.example.com/", "//other.example.com/", "http://proxy.example.com/", "ws://proxy.example.com/", "javascript:1"]) {
    assert.throws(() => behind(base, elsewhere), { code: "bad-option" }, elsewhere);
  }
});
