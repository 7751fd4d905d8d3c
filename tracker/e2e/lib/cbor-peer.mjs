// A peer of the CBOR dialect, written from the schema in engine/protocol/src/tracker.rs: it tells
// who cannot trickle complete descriptions only.

import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { decode, encode } from 'cborg'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { WebSocket } from 'ws'

const [HELLO, ANNOUNCE, SIGNAL, WELCOME, PEERS, SIGNALLED, ERROR] = [0, 1, 2, 32, 33, 34, 35]
const [OFFER, ANSWER] = [0, 1]

export class CborPeer {
  static async join(url, swarm, { want = 10 } = {}) {
    const peer = new CborPeer(new WebSocket(url), swarm)
    await once(peer.socket, 'open')
    peer.send([HELLO, 1, randomBytes(20), randomBytes(16)])
    await peer.next(WELCOME)
    peer.send([ANNOUNCE, swarm, 0, null, want])
    peer.introduced = await peer.next(PEERS)
    return peer
  }

  constructor(socket, swarm) {
    this.socket = socket
    this.swarm = swarm
    this.messages = []
    this.connections = []
    socket.on('message', frame => {
      this.messages.push(decode(frame))
      socket.emit('decoded')
    })
  }

  /** Waits for a message of a type. */
  async next(type) {
    for (;;) {
      const place = this.messages.findIndex(message => message[0] === type || message[0] === ERROR)
      if (place < 0) {
        await once(this.socket, 'decoded')
        continue
      }
      const [message] = this.messages.splice(place, 1)
      if (message[0] === ERROR) throw new Error(`refused: ${message[2]}`)
      return message
    }
  }

  /** Answers the next offer; returns the data channel and the offer. */
  async answer() {
    const [, , from, offer, [kind, sdp], untrickled] = await this.next(SIGNALLED)
    if (kind !== OFFER) throw new Error(`not an offer: ${kind}`)
    const connection = this.connection()
    const channel = new Promise(done => (connection.ondatachannel = event => done(event.channel)))
    if (!sdp.includes('a=candidate:')) throw new Error('an offer without candidates')
    // Let the offerer begin: libdatachannel may otherwise be shown our certificate before it has stored
    // the answer's fingerprint, and refuses it.
    const bare = sdp.replace(/^a=(candidate:|end-of-candidates).*\r?\n/gm, '')
    await connection.setRemoteDescription({ type: 'offer', sdp: bare })
    await connection.setLocalDescription(await connection.createAnswer())
    await gathered(connection)
    this.send([SIGNAL, this.swarm, from, offer, [ANSWER, connection.localDescription.sdp]])
    return { untrickled, channel: await channel }
  }

  /** Offers to a peer it was introduced to; returns the data channel once it is open. */
  async call(to) {
    const connection = this.connection()
    const channel = connection.createDataChannel('test')
    const open = new Promise(done => (channel.onopen = done))
    await connection.setLocalDescription(await connection.createOffer())
    await gathered(connection)
    const offer = randomBytes(20)
    this.send([SIGNAL, this.swarm, to, offer, [OFFER, connection.localDescription.sdp]])
    const [, , , answered, [kind, sdp], untrickled] = await this.next(SIGNALLED)
    if (kind !== ANSWER || !offer.equals(answered)) throw new Error('not the answer')
    await connection.setRemoteDescription({ type: 'answer', sdp })
    await open
    return { untrickled, channel }
  }

  send(message) {
    this.socket.send(encode(message))
  }

  connection() {
    const connection = new RTCPeerConnection({ iceServers: [] })
    this.connections.push(connection)
    return connection
  }

  close() {
    for (const connection of this.connections) connection.close()
    this.socket.close()
  }
}

async function gathered(connection) {
  while (connection.iceGatheringState !== 'complete') {
    await new Promise(done => connection.addEventListener('icegatheringstatechange', done, { once: true }))
  }
}
