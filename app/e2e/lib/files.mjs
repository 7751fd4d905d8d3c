// Test data on disk: random files, trees of files, and their SHA-256.
import { createHash, randomFillSync } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { pipeline } from "node:stream/promises";

export const MIB = 1024 * 1024;
const STEP = 16 * MIB;

/** Makes an empty folder that is removed after the test. */
export async function scratch(test) {
  const dir = await mkdtemp(join(tmpdir(), "shoal-e2e-"));
  test.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Writes `size` random bytes to `path`; returns the path. */
export async function randomFile(path, size) {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "w");
  try {
    // In steps: one may be larger than memory.
    for (let left = size; left > 0; left -= STEP) {
      await file.writeFile(randomFillSync(Buffer.alloc(Math.min(left, STEP))));
    }
  } finally {
    await file.close();
  }
  return path;
}

/** SHA-256 of a file, in hexadecimal. */
export async function sha256(path) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Maps each file below `root` (its path with `/`) to its SHA-256. */
export async function tree(root) {
  const found = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found[relative(root, path).split("\\").join("/")] = await sha256(path);
  }
  return found;
}
