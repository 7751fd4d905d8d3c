// The tracker comes and goes; swarms go on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { Shoal, startTls, startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

test("a transfer survives a tracker restart, and a newcomer finds the swarm", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const size = 12 * MIB;
  const source = await randomFile(join(dir, "random.bin"), size);
  const hash = await sha256(source);
  const seed = Shoal.seed(t, tracker, [source], ["--upload-limit", "1M"]);
  const { link } = await seed.event("sharing");
  const page = await ShoalPage.open(t, browser, link);
  await page.confirm();
  await page.state(["downloading"]);

  await tracker.stop("SIGKILL");
  const before = (await page.pieces()).have;
  await page.page.waitForFunction(
    (before) => Number(document.querySelector("[data-testid=piece-map]").dataset.have) > before + 20,
    before, { timeout: 60_000 });
  await startTracker(t, tracker.port);

  const get = Shoal.get(t, link, join(dir, "out"));
  assert.equal((await get.exited).code, 0, get.stderr);
  await page.complete();
  assert.equal(await sha256(join(dir, "out", "random.bin")), hash);
  assert.equal(await sha256(await page.save(join(dir, "saved"))), hash);
  page.unharmed();
});

test("a page that was there before its tracker joins the swarm when it comes", async (t) => {
  const dir = await scratch(t);
  const gone = await startTracker(t);
  const source = await randomFile(join(dir, "random.bin"), MIB);
  const page = await ShoalPage.open(t, browser, gone.http);
  await gone.stop();
  const link = await page.share([source]);
  await startTracker(t, gone.port);
  const get = Shoal.get(t, link, join(dir, "out"));
  assert.equal((await get.exited).code, 0, get.stderr);
  assert.equal(await sha256(join(dir, "out", "random.bin")), await sha256(source));
});

test("a tracker behind TLS is used where its certificate is trusted, and nowhere else", async (t) => {
  const dir = await scratch(t);
  const tls = await startTls(t, await startTracker(t), dir);
  const source = await randomFile(join(dir, "random.bin"), MIB);
  const trusting = { env: { SSL_CERT_FILE: tls.certificate } };
  const seed = new Shoal(t, ["seed", source, "--tracker", tls.announce], trusting);
  const { magnet } = await seed.event("sharing");

  const wary = new Shoal(t, ["get", magnet, "--out", join(dir, "wary"), "--give-up", "5"]);
  assert.equal((await wary.exited).code, 1, wary.stderr);
  assert.match(wary.lines.join("\n"), /UnknownIssuer/);

  const get = new Shoal(t, ["get", magnet, "--out", join(dir, "out")], trusting);
  assert.equal((await get.exited).code, 0, get.stderr);
  assert.equal(await sha256(join(dir, "out", "random.bin")), await sha256(source));
});
