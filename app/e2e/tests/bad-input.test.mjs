// What is wrong is said in words, where it belongs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

test("what is not a link is refused in words, and the next link works", async (t) => {
  const tracker = await startTracker(t);
  const page = await ShoalPage.open(t, browser, tracker.http);
  for (const text of ["hello", "https://example.org/", "magnet:?xt=urn:btmh:1220zz"]) {
    await page.id("link-input").fill(text);
    await page.id("open-link").click();
    await page.page.getByRole("alert").first().waitFor();
    assert.equal(await page.id("torrent").count(), 0);
  }
  page.unharmed();
});

test("a link to nowhere says that it is looking, and can be removed", async (t) => {
  const tracker = await startTracker(t);
  const nowhere = `magnet:?xt=urn:btmh:1220${"ab".repeat(32)}&dn=${encodeURIComponent("<img src=x onerror=alert(1)>")}`;
  const page = await ShoalPage.open(t, browser, `${tracker.http}/#${nowhere.slice("magnet:?".length)}&tr=${encodeURIComponent(tracker.announce)}`);
  await page.state(["finding-peers"]);
  assert.equal(await page.page.locator("img[src=x]").count(), 0);
  await page.id("remove").click();
  const confirm = page.id("remove-confirm");
  if (await confirm.count()) await confirm.click();
  await page.id("torrent").waitFor({ state: "detached" });
  page.unharmed();
});
