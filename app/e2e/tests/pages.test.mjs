// Files between browser pages.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { basename, join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { startTracker } from "../lib/processes.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

test("a file shared by one page arrives whole in another", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "random.bin"), 32 * MIB);

  const seeder = await ShoalPage.open(t, browser, tracker.http);
  const link = await seeder.share([source]);
  assert.ok(link.startsWith(`${tracker.http}/#`) || link.includes("/#"), `a web link, not ${link}`);
  const leecher = await ShoalPage.open(t, browser, link);
  await leecher.confirm();
  await leecher.complete();

  const saved = await leecher.save(join(dir, "saved"));
  assert.equal(basename(saved), "random.bin");
  assert.equal(await sha256(saved), await sha256(source));
  seeder.unharmed();
  leecher.unharmed();
});
