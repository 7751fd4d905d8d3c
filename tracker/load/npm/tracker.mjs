// Runs bittorrent-tracker's server for WebSockets: `node tracker.mjs PORT`.
//
// Not its own command line: that one loads the client too, and with it a native WebRTC library that
// is of no use here and is not built everywhere. Settings are the defaults of the command line.
import Server from 'bittorrent-tracker/server'

const server = new Server({ http: false, udp: false, ws: true, stats: true })
server.on('error', error => {
  console.error(error.message)
  process.exit(1)
})
// What clients do wrong is not worth a line, as with `--silent`.
server.on('warning', () => {})
server.listen(Number(process.argv[2]), '127.0.0.1')
