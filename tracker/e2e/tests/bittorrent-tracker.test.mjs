// The client of the npm package `bittorrent-tracker` uses our tracker, with real WebRTC: among its
// own kind, and together with a peer of the CBOR dialect.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import Client from 'bittorrent-tracker'
import { CborPeer } from '../lib/cbor-peer.mjs'
import { startTracker } from '../lib/tracker.mjs'

let tracker
// The client's sockets and timers do not keep Node awake while it gathers candidates. It does so for
// five seconds a description, as its WebRTC for Node never says that there are no more.
let awake
before(async () => {
  tracker = await startTracker()
  awake = setInterval(() => {}, 1000)
})
after(async () => {
  clearInterval(awake)
  await tracker.stop()
})

test('clients find each other and connect', { timeout: 60_000 }, async () => {
  const infoHash = randomBytes(20)
  const ann = client(0, infoHash)
  const bob = client(1, infoHash)
  ann.start({ numwant: 0 })
  await once(ann, 'update')
  bob.start()
  const [[called], [calling]] = await Promise.all([once(ann, 'peer'), once(bob, 'peer')])
  await Promise.all([connected(called), connected(calling)])
  const heard = once(called, 'data')
  calling.send('hello')
  assert.equal(Buffer.from((await heard)[0]).toString(), 'hello')
  await end(ann, bob, called, calling)
})

test('swarms are counted, scraped, and left', { timeout: 60_000 }, async () => {
  const infoHash = randomBytes(20)
  const seeder = client(0, infoHash, { left: 0 })
  const leecher = client(1, infoHash, { left: 5 })
  seeder.start({ numwant: 0, left: 0 })
  const [first] = await once(seeder, 'update')
  assert.deepEqual([first.complete, first.incomplete, first.interval], [1, 0, 120])
  leecher.start({ numwant: 0, left: 5 })
  const [second] = await once(leecher, 'update')
  assert.deepEqual([second.complete, second.incomplete], [1, 1])
  leecher.scrape()
  const [scraped] = await once(leecher, 'scrape')
  assert.equal(scraped.infoHash, infoHash.toString('hex'))
  assert.deepEqual([scraped.complete, scraped.incomplete], [1, 1])
  leecher.complete({ left: 0 })
  const [third] = await once(leecher, 'update')
  assert.deepEqual([third.complete, third.incomplete], [2, 0])
  leecher.stop()
  const [fourth] = await once(leecher, 'update')
  assert.deepEqual([fourth.complete, fourth.incomplete], [1, 0])
  await end(seeder, leecher)
  while ((await tracker.stats()).members > 0);
})

test('a client is told why it is refused', { timeout: 60_000 }, async () => {
  const infoHash = randomBytes(20)
  const ann = client(0, infoHash)
  const thief = client(1, infoHash, { peerId: ann._peerIdBuffer })
  ann.start({ numwant: 0 })
  await once(ann, 'update')
  thief.start({ numwant: 0 })
  const [warning] = await once(thief, 'warning')
  assert.match(warning.message, /peer id/)
  await end(ann, thief)
})

test('a peer of the CBOR dialect answers the offer of a client', { timeout: 60_000 }, async () => {
  const infoHash = randomBytes(20)
  const ann = await CborPeer.join(tracker.urls[0], infoHash)
  const bob = client(1, infoHash)
  bob.start()
  const [{ untrickled, channel }, [peer]] = await Promise.all([ann.answer(), once(bob, 'peer')])
  assert.equal(untrickled, true)
  await connected(peer)
  const heard = new Promise(done => (channel.onmessage = event => done(event.data)))
  peer.send('hello')
  assert.equal(Buffer.from(await heard).toString(), 'hello')
  ann.close()
  await end(bob, peer)
})

test('a peer of the CBOR dialect calls a client', { timeout: 60_000 }, async () => {
  const infoHash = randomBytes(20)
  const bob = client(1, infoHash)
  bob.start({ numwant: 0 })
  await once(bob, 'update')
  const ann = await CborPeer.join(tracker.urls[0], infoHash)
  const [, , peers, , , untrickled] = ann.introduced
  assert.deepEqual([peers.length, untrickled], [1, 1])
  const [{ channel }, [peer]] = await Promise.all([ann.call(peers[0]), once(bob, 'peer')])
  await connected(peer)
  const heard = once(peer, 'data')
  channel.send('hello')
  assert.equal(Buffer.from((await heard)[0]).toString(), 'hello')
  ann.close()
  await end(bob, peer)
})

function client(url, infoHash, options = {}) {
  return new Client({
    infoHash,
    peerId: randomBytes(20),
    port: 6881,
    announce: [tracker.urls[url]],
    rtcConfig: { iceServers: [] },
    ...options,
  })
}

async function connected(peer) {
  // That the other side closes is no failure.
  peer.on('error', () => {})
  if (!peer.connected) await once(peer, 'connect')
}

/** Ends clients and connections. A connection that stays keeps Node from ending. */
async function end(...clients) {
  for (const one of clients) {
    if (one instanceof Client) await new Promise(done => one.destroy(done))
    else one.destroy()
  }
}
