// WebTorrent itself, in Chromium, finds its peers by our tracker.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { MIB } from "../lib/files.mjs";
import { launchChromium } from "../lib/pages.mjs";
import { startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

/** Serves a page that knows WebTorrent and does nothing by itself; returns its address. */
async function startPages(test) {
  const script = await readFile(new URL("../node_modules/webtorrent/dist/webtorrent.min.js", import.meta.url));
  const html = `<!doctype html><title>WebTorrent</title><script type="module">
    import WebTorrent from "/webtorrent.js";
    window.client = new WebTorrent({ dht: false, lsd: false, utPex: false });
  </script>`;
  const server = createServer((request, response) => {
    const [type, body] = request.url === "/webtorrent.js" ? ["text/javascript", script] : ["text/html", html];
    response.setHeader("content-type", type).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}

async function openPage(test, address) {
  const context = await browser.newContext();
  test.after(() => context.close());
  const page = await context.newPage();
  await page.goto(address);
  await page.waitForFunction(() => window.client);
  return page;
}

/** Downloads a torrent in a page; returns the SHA-256 of its file. */
const download = (page, magnet) => page.evaluate(async (magnet) => {
  const torrent = window.client.add(magnet);
  await new Promise((resolve, reject) => {
    torrent.on("done", resolve);
    torrent.on("error", reject);
  });
  const bytes = await (await torrent.files[0].blob()).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}, magnet);

test("WebTorrent's pages share a file by our tracker, also when the first has left", async (t) => {
  const tracker = await startTracker(t);
  const address = await startPages(t);
  const size = 4 * MIB;
  const seeder = await openPage(t, address);
  const { magnet, bytes } = await seeder.evaluate(async ([announce, size]) => {
    const data = new Uint8Array(size);
    for (let at = 0; at < size; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
    const file = new File([data], "random.bin");
    const torrent = await new Promise((resolve) =>
      window.client.seed(file, { announce: [announce] }, resolve));
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    return { magnet: torrent.magnetURI, bytes: Array.from(hash) };
  }, [tracker.announce, size]);
  const hash = Buffer.from(bytes).toString("hex");

  const first = await openPage(t, address);
  assert.equal(await download(first, magnet), hash);
  await seeder.close();
  const second = await openPage(t, address);
  assert.equal(await download(second, magnet), hash);
});
