"""Makes torrents with libtorrent 2.x for tests/libtorrent.rs to compare ours with.

    libtorrent_vectors.py make CASES.json OUT   writes OUT/<case>.v2.torrent, .hybrid.torrent, hashes.json
    libtorrent_vectors.py check DIR             reads every DIR/*.torrent, prints name and hashes as JSON
    libtorrent_vectors.py seed CASES.json CASE TORRENT
                                                seeds it on loopback; prints the port, runs until stdin closes

libtorrent refuses torrents without any data, so a lone empty file is not among the cases.
A file of the cases is [path, length] or [path, length, salt]; without a salt it is the file's number.
Its 16 KiB block number n is SHA-256(salt as 4 bytes, n as 4 bytes), big-endian, repeated.
"""

import hashlib
import json
import pathlib
import sys
import tempfile
import time

import libtorrent as lt

BLOCK = 16384


def content(length, salt):
    data = bytearray()
    for number in range(-(-length // BLOCK)):
        seed = salt.to_bytes(4, "big") + number.to_bytes(4, "big")
        data += hashlib.sha256(seed).digest() * (BLOCK // 32)
    return bytes(data[:length])


def write_files(case, folder):
    """Writes the case's files and returns the paths as libtorrent wants them."""
    single = len(case["files"]) == 1 and case["files"][0][0] == case["name"]
    top = pathlib.Path() if single else pathlib.Path(case["name"])
    entries = []
    for number, (path, length, *salt) in enumerate(case["files"]):
        target = folder / top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content(length, salt[0] if salt else number))
        target.chmod(0o644)
        entries.append((str(top / path), length))
    return entries


def make_torrent(case, folder, entries, flags):
    files = [lt.create_file_entry(path, length) for path, length in entries]
    torrent = lt.create_torrent(files, case["piece_length"], flags)
    torrent.set_creation_date(0)
    torrent.add_tracker("ws://127.0.0.1:9010/announce")
    lt.set_piece_hashes(torrent, str(folder))
    return lt.bencode(torrent.generate())


def make(cases, out):
    hashes = {}
    for case in json.loads(pathlib.Path(cases).read_text(encoding="utf-8")):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            entries = write_files(case, folder)
            for kind, flags in (("v2", lt.create_torrent.v2_only), ("hybrid", 0)):
                torrent = make_torrent(case, folder, entries, flags)
                name = f"{case['case']}.{kind}.torrent"
                try:
                    hashes[name] = describe(lt.torrent_info(lt.bdecode(torrent)))
                except RuntimeError:
                    # libtorrent sorts a v1 file list by whole paths, where "a.b" comes before "a/b",
                    # and then refuses its own hybrid, whose file tree has them the other way round.
                    if kind != "hybrid" or not case.get("no_hybrid"):
                        raise
                    continue
                (pathlib.Path(out) / name).write_bytes(torrent)
    text = json.dumps(hashes, indent=1, sort_keys=True, ensure_ascii=False)
    (pathlib.Path(out) / "hashes.json").write_text(text + "\n", encoding="utf-8")


def describe(info):
    hashes = info.info_hashes()
    return {
        "name": info.name(),
        "v2": str(hashes.v2),
        "v1": str(hashes.v1) if hashes.has_v1() else None,
        "magnet": lt.make_magnet_uri(info),
    }


def check(folder):
    paths = sorted(pathlib.Path(folder).glob("*.torrent"))
    infos = {path.name: describe(lt.torrent_info(str(path))) for path in paths}
    json.dump(infos, sys.stdout)


def seed(cases, name, torrent):
    cases = json.loads(pathlib.Path(cases).read_text(encoding="utf-8"))
    case = next(case for case in cases if case["case"] == name)
    with tempfile.TemporaryDirectory() as folder:
        write_files(case, pathlib.Path(folder))
        settings = {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "in_enc_policy": int(lt.enc_policy.disabled),
            "out_enc_policy": int(lt.enc_policy.disabled),
        }
        session = lt.session(settings)
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(torrent)
        params.trackers = []
        params.save_path = folder
        handle = session.add_torrent(params)
        while not (handle.status().is_seeding and session.listen_port()):
            time.sleep(0.05)
        print(session.listen_port(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    {"make": make, "check": check, "seed": seed}[sys.argv[1]](*sys.argv[2:])
