"""Announces a hybrid torrent to the WebSocket tracker given, until it is stopped.

    announce.py URL V1_INFO_HASH V2_INFO_HASH
"""

import sys
import time

import libtorrent as lt

url, v1, v2 = sys.argv[1:]
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
link = f"magnet:?xt=urn:btih:{v1}&xt=urn:btmh:1220{v2}&tr={url}"
parameters = lt.parse_magnet_uri(link)
parameters.save_path = sys.argv[0] + ".nowhere"
session.add_torrent(parameters)
while True:
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
    time.sleep(0.1)
