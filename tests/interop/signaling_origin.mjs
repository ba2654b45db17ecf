// An application behind the proxy: WebSockets, server-sent events, large bodies both ways. Prints "ready" and waits.
// node signaling_origin.mjs --modules DIR --port N

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const argument = (name) => process.argv[process.argv.indexOf(name) + 1];
const { WebSocketServer } = createRequire(`${argument('--modules')}/`)('ws');

const listeners = new Set();
let uploaded = 0;
let downloaded = 0;
let release;

async function upload(request, response, slow) {
  const hash = createHash('sha256');
  uploaded = 0;
  if (slow) await new Promise((resolve) => (release = resolve));
  for await (const chunk of request) {
    uploaded += chunk.length;
    hash.update(chunk);
  }
  response.end(JSON.stringify({ bytes: uploaded, sha256: hash.digest('hex') }));
}

async function download(response, bytes) {
  const chunk = Buffer.alloc(64 << 10, 'relay');
  downloaded = 0;
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  while (downloaded < bytes) {
    downloaded += chunk.length;
    if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve));
  }
  response.end();
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://origin');
  switch (pathname.replace('/node', '')) {
    case '/headers':
      return response.end(JSON.stringify(request.headers));
    case '/events':
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': hello\n\n');
      listeners.add(response);
      return response.on('close', () => listeners.delete(response));
    case '/tell':
      for (const one of listeners) one.write(`data: ${searchParams.get('text')}\n\n`);
      return response.end(String(listeners.size));
    case '/upload':
      return upload(request, response, false);
    case '/slow':
      return upload(request, response, true);
    case '/release':
      release();
      return response.end();
    case '/download':
      return download(response, Number(searchParams.get('bytes')));
    case '/moved':
      return response.end(JSON.stringify({ uploaded, downloaded, listeners: listeners.size }));
    default:
      response.statusCode = 404;
      return response.end();
  }
});

const sockets = new WebSocketServer({ server, maxPayload: 8 << 20, handleProtocols: (all) => [...all][0] });
sockets.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('close', (code) => console.log(`closed ${code}`));
  socket.on('error', () => {});
});

server.listen(Number(argument('--port')), '127.0.0.1', () => console.log('ready'));
