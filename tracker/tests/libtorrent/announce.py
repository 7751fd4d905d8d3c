"""Announces the torrent of a magnet link to the WebSocket tracker given, until it is stopped.

    announce.py URL LINK
"""

import sys
import time

import libtorrent as lt

url, link = sys.argv[1:]
session = lt.session({
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "listen_interfaces": "127.0.0.1:0",
    # Candidates of this machine are enough.
    "webtorrent_stun_server": "",
    "validate_https_trackers": False,
    "alert_mask": lt.alert.category_t.tracker_notification | lt.alert.category_t.error_notification,
})
parameters = lt.parse_magnet_uri(f"{link}&tr={url}")
parameters.save_path = sys.argv[0] + ".nowhere"
session.add_torrent(parameters)
while True:
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
    time.sleep(0.1)
