// Runs the tracker that was built (SHOAL_BIN_DIR) on a free port.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import path from 'node:path'

export async function startTracker(...flags) {
  const program = path.join(process.env.SHOAL_BIN_DIR ?? 'target/debug', 'shoal-tracker')
  const child = spawn(program, ['--listen', '127.0.0.1:0', '--ice', 'none', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const host = line.replace('listening on http://', '')
  return {
    // Clients of one process share the socket to one address: two addresses make two.
    urls: [`ws://${host}/announce`, `ws://${host}/`],
    stats: async () => (await fetch(`http://${host}/stats.json`)).json(),
    stop: async () => {
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}
