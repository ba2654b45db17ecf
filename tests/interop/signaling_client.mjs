// What an application does through the proxy, over HTTP/1.1 and h2. Prints one JSON object.
// node signaling_client.mjs CASE --modules DIR --ca FILE --server ADDRESS:PORT

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import { createRequire } from 'node:module';
import { connect } from 'node:tls';

const argument = (name) => process.argv[process.argv.indexOf(name) + 1];
const WebSocket = createRequire(`${argument('--modules')}/`)('ws');
const [host, port] = argument('--server').split(':');
const tls = { ca: readFileSync(argument('--ca')), servername: 'relay.test' };
const LARGE = 32 << 20;

const ended = (emitter, event) => new Promise((resolve, reject) => {
  emitter.once(event, resolve);
  emitter.once('error', reject);
});

async function text(stream) {
  let all = '';
  for await (const chunk of stream) all += chunk;
  return all;
}

/// The same few verbs over each version.
const versions = {
  h1: {
    open: async () => ({}),
    async request(_, path, { method = 'GET', body = null } = {}) {
      const options = { host, port, path, method, headers: { host: 'relay.test' }, ...tls };
      const request = https.request(options);
      const answer = ended(request, 'response');
      if (body) body(request);
      else request.end();
      return answer;
    },
    close() {},
  },
  h2: {
    async open() {
      const createConnection = () => connect({ host, port, ...tls, ALPNProtocols: ['h2'] });
      const session = http2.connect('https://relay.test', { createConnection });
      await ended(session, 'remoteSettings');
      return session;
    },
    async request(session, path, { method = 'GET', body = null } = {}) {
      const stream = session.request({ ':path': path, ':method': method, ':authority': 'relay.test' }, { endStream: !body });
      const answer = ended(stream, 'response');
      if (body) body(stream);
      await answer;
      return stream;
    },
    close: (session) => session.close(),
  },
};

const get = async (version, session, path) => text(await version.request(session, path));

/// Asks until what moved stays the same, or it is `enough`.
async function stopped(version, key, enough) {
  const session = await version.open();
  let [last, same] = [-1, 0];
  while (same < 20 && last < enough) {
    const now = JSON.parse(await get(version, session, '/node/moved'))[key];
    same = now > 0 && now === last ? same + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  version.close(session);
  return last;
}

async function socketsOverHttp1() {
  const socket = new WebSocket(`wss://relay.test:${port}/node/socket`, ['chat', 'other'], {
    ...tls, lookup: (_, options, done) => (options.all ? done(null, [{ address: host, family: 4 }]) : done(null, host, 4)),
  });
  await ended(socket, 'open');
  const echoed = [];
  for (const size of [0, 1, 125, 126, 65535, 65536, 4 << 20]) {
    const sent = Buffer.alloc(size, 'x');
    const back = ended(socket, 'message');
    socket.send(sent);
    if (Buffer.compare(await back, sent) === 0) echoed.push(size);
  }
  socket.close(4321, 'enough');
  const code = await ended(socket, 'close');
  return { echoed, protocol: socket.protocol, code };
}

/// RFC 8441 with frames made by hand: node has no WebSockets over h2.
async function socketsOverH2() {
  const session = await versions.h2.open();
  const extended = session.remoteSettings.enableConnectProtocol;
  const stream = session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':path': '/node/socket', ':authority': 'relay.test',
    'sec-websocket-version': '13', 'sec-websocket-protocol': 'chat',
  });
  const headers = await ended(stream, 'response');
  const payload = Buffer.from('over h2');
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = payload.map((byte, i) => byte ^ mask[i % 4]);
  stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, masked]));
  const back = await ended(stream, 'data');
  // Close, with code 1000.
  stream.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
  await ended(stream, 'data');
  stream.end();
  session.close();
  return { extended, status: headers[':status'], protocol: headers['sec-websocket-protocol'], accept: headers['sec-websocket-accept'] ?? null, back: back.subarray(2).toString() };
}

/// Each is told only when the one before has arrived.
async function events(version) {
  const session = await version.open();
  const stream = await version.request(session, '/node/events');
  const heard = [];
  for await (const chunk of stream) {
    heard.push(String(chunk).trim());
    if (heard.length > 5) break;
    await get(version, session, `/node/tell?text=${heard.length}`);
  }
  stream.destroy();
  let left = 1;
  while (left > 0) left = JSON.parse(await get(version, session, '/node/moved')).listeners;
  version.close(session);
  return heard;
}

async function large(version) {
  const session = await version.open();
  const chunk = Buffer.alloc(64 << 10, 'relay');
  const hash = createHash('sha256');
  const body = async (request) => {
    for (let sent = 0; sent < LARGE; sent += chunk.length) {
      hash.update(chunk);
      if (!request.write(chunk)) await ended(request, 'drain');
    }
    request.end();
  };
  const up = JSON.parse(await text(await version.request(session, '/node/upload', { method: 'POST', body })));
  let down = 0;
  for await (const part of await version.request(session, `/node/download?bytes=${LARGE}`)) down += part.length;
  version.close(session);
  return { up: up.bytes, same: up.sha256 === hash.digest('hex'), down };
}

/// Whoever does not read stops whoever writes.
async function pressure(version) {
  const session = await version.open();
  const unread = await version.request(session, `/node/download?bytes=${LARGE}`);
  unread.pause();
  const down = await stopped(version, 'downloaded', LARGE);
  let read = 0;
  for await (const part of unread) read += part.length;
  let written = 0;
  const chunk = Buffer.alloc(64 << 10);
  let blocked;
  const isBlocked = new Promise((resolve) => (blocked = resolve));
  const body = async (request) => {
    while (written < LARGE) {
      written += chunk.length;
      if (!request.write(chunk)) {
        const timer = setTimeout(blocked, 500);
        await ended(request, 'drain');
        clearTimeout(timer);
      }
    }
    request.end();
    blocked();
  };
  const answer = version.request(session, '/node/slow', { method: 'POST', body });
  await isBlocked;
  const up = written;
  const other = await version.open();
  await get(version, other, '/node/release');
  const { bytes } = JSON.parse(await text(await answer));
  version.close(session);
  version.close(other);
  return { down, read, up, bytes };
}

const both = async (what) => ({ h1: await what(versions.h1), h2: await what(versions.h2) });
const cases = {
  sockets: async () => ({ h1: await socketsOverHttp1(), h2: await socketsOverH2() }),
  events: () => both(events),
  large: () => both(large),
  pressure: () => both(pressure),
};
console.log(JSON.stringify(await cases[process.argv[2]]()));
process.exit(0);
