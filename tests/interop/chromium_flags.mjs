// How every Chromium of the lab is started. Nothing but what a test asks of it may leave the browser: every other service
// it would look up is off.

export const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  // The relay of the lab has a certificate of its own making.
  "--ignore-certificate-errors",
];
