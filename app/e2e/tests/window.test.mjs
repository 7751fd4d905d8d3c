// The desktop window: a real one on a virtual screen, its peers are browser pages.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { join } from "node:path";

import { MIB, randomFile, scratch, sha256 } from "../lib/files.mjs";
import { ShoalPage, launchChromium } from "../lib/pages.mjs";
import { startTracker } from "../lib/processes.mjs";
import { ShoalWindow } from "../lib/window.mjs";

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const shots = process.env.SHOAL_SHOTS ?? "shots";

test("a pasted link's file arrives on disk from a page", async (t) => {
  const dir = await scratch(t);
  const tracker = await startTracker(t);
  const source = await randomFile(join(dir, "from-a-page.bin"), 16 * MIB);
  const page = await ShoalPage.open(t, browser, tracker.http);
  const link = await page.share([source]);

  const home = join(dir, "home");
  await mkdir(join(home, "Downloads"), { recursive: true });
  const window = await ShoalWindow.open(t, tracker, { HOME: home, XDG_DOWNLOAD_DIR: join(home, "Downloads") });
  await window.fill("link-input", link);
  await window.click("open-link");
  await window.click("start");
  await window.state(["complete"]);
  await mkdir(shots, { recursive: true });
  await window.screenshot(join(shots, "window.png"));

  assert.equal(await sha256(join(home, "Downloads", "from-a-page.bin")), await sha256(source));
  page.unharmed();
});
