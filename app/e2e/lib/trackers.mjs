// Trackers that speak nothing but WebTorrent's dialect.
import { once } from "node:events";

import { Server } from "bittorrent-tracker";
import WebSocket, { WebSocketServer } from "ws";

/** The tracker of WebTorrent; returns its `ws:` address and the server. */
export async function startBittorrentTracker(test) {
  const server = new Server({ udp: false, http: false, ws: { clientTracking: true }, stats: false });
  server.on("warning", () => {}); // Our greeting is no JSON, it says.
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    server.ws.clients.forEach((client) => client.terminate());
    server.close();
  });
  return { announce: `ws://127.0.0.1:${server.ws.address().port}/announce`, server };
}

/**
 * Puts something in front of our tracker that lets texts pass only, so that whoever comes this way has
 * to speak WebTorrent's dialect; returns its `ws:` address.
 */
export async function startTextOnly(test, tracker) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const texts = { up: 0, down: 0 };
  server.on("connection", (outer) => {
    const inner = new WebSocket(tracker.announce);
    const waiting = [];
    inner.on("open", () => waiting.splice(0).forEach((text) => inner.send(text)));
    const pass = (to, way) => (data, isBinary) => {
      if (isBinary) return outer.send('{"failure reason":"only texts pass here"}');
      texts[way] += 1;
      const text = data.toString();
      if (to.readyState === WebSocket.CONNECTING) waiting.push(text);
      else to.send(text);
    };
    outer.on("message", pass(inner, "up"));
    inner.on("message", pass(outer, "down"));
    for (const [end, other] of [[outer, inner], [inner, outer]]) {
      end.on("close", () => other.close());
      end.on("error", () => other.terminate());
    }
  });
  test.after(() => {
    server.clients.forEach((client) => client.terminate());
    server.close();
  });
  return { announce: `ws://127.0.0.1:${server.address().port}/announce`, texts };
}
