#!/usr/bin/env python3
"""Check a bundle of agent-eventstore with nothing but Python's standard library (3.11 or newer).

    python verify_bundle.py BUNDLE --key VKEY [--older NOTE]... [--json]

BUNDLE is a folder or a .tar, VKEY the log's public key or a file that holds it, NOTE a file with a
checkpoint that was kept where the log's operator could not change it. Key and note must come from
elsewhere than the bundle. Exit codes: 0 VERIFIED, also with n erased and m withheld; 3 NOT VERIFIED;
4 UNSIGNED: right, but by no trusted key; 5 UNANCHORED: right and signed, but compared with no older
checkpoint; 2 wrong usage. docs/bundle-format.md says what the bytes mean.
"""

import argparse, base64, hashlib, json, os, re, stat, struct, sys
from bisect import bisect_right
from collections import Counter
from datetime import datetime, timedelta
from itertools import accumulate, count

TILE = r"(\d|entries)/(x\d{3}/){0,6}\d{3}(\.p/[1-9]\d{0,2})?"
NAME = re.compile(rf"checkpoint|README\.txt|manifest\.json|events\.jsonl|entries|tile/{TILE}|"
                  r"anchors/[1-9]\d{0,17}|long/[1-9]\d{0,17}|blobs/[0-9a-f]{64}", re.A)
FILES_MAX, BYTES_MAX, READ_MAX, FINDINGS_MAX = 1 << 20, 1 << 36, 1 << 31, 20
ENTRY, CONTENT = b"agent-eventstore/entry/v1\0", b"agent-eventstore/content/v1\0"
HEAD = struct.Struct(">26sQQQ16s32s32sBH16sH")
ACTORS = ("unknown", "user", "model", "tool", "system", "operator")
STARTING, ERASING = ("session.created", "session.forked"), ("content.erased", "content.redacted")
BLOB = re.compile(rb'(?<!"\$literal":)\{"\$blob":"([0-9a-f]{64})"\}')
P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # of Ed25519
D, ROOT, ZERO = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P), (0, 1, 1, 0)

def need(condition, message):
    """Raise unless the condition holds."""
    if not condition:
        raise ValueError(message)

def sha256(*parts):
    """SHA-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()

def add(a, b):
    """The sum of two points (X, Y, Z, T) of the curve."""
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    u, v = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, v - u, v + u, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P

def times(n, point):
    """The point added to itself so many times."""
    return add(times(n >> 1, add(point, point)), point if n & 1 else ZERO) if n else ZERO

def point_of(data):
    """The point that 32 bytes encode."""
    y, sign = int.from_bytes(data, "little") & ((1 << 255) - 1), data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * ROOT % P
    need(y < P and x * x % P == square and (x or not sign), "no point of the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P

def check_signature(public, message, signature):
    """RFC 8032, 5.1.7, strictly: numbers below the modulus, points compared as bytes."""
    need(len(signature) == 64, "a signature has 64 bytes")
    (x, y, z, t), r, s = point_of(public), signature[:32], int.from_bytes(signature[32:], "little")
    need(s < Q and point_of(r), "a signature out of range")
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % Q
    base = point_of((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    x, y, z, t = add(times(s, base), times(k, (P - x, y, z, P - t)))
    x, y = x * pow(z, -1, P) % P, y * pow(z, -1, P) % P
    need((y | (x & 1) << 255).to_bytes(32, "little") == r, "a trusted key's signature is wrong")

def base64_of(text):
    """The bytes of a text in canonical base64."""
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 that is not canonical")
    return data

def key_of(text):
    """(name, id, public key) of a vkey: name+id+base64."""
    match = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)", text.strip())
    need(match, f"{text!r} is no vkey, nor a file")
    name, number, data = match.groups()
    data = base64_of(data)
    need(len(data) == 33 and data[0] == 1 and point_of(data[1:]), "no vkey of an Ed25519 key")
    need(sha256(name.encode(), b"\n", data)[:4].hex() == number, "the vkey's id is not its hash")
    return name, bytes.fromhex(number), data[1:]

def checkpoint_of(data, keys):
    """(origin, size, root, name of the trusted key that signed it or None) of a checkpoint."""
    body, blank, rest = data.decode().partition("\n\n")
    body, by = body + "\n" if blank else body, None
    match = re.fullmatch(r"([^\0-\x1f]+)\n(0|[1-9]\d{0,17})\n([A-Za-z0-9+/]{43}=)\n", body, re.A)
    need(match and bool(blank) == bool(rest), "a checkpoint has another form")
    need(re.fullmatch(r"(\u2014 [^\0- +]+ [A-Za-z0-9+/]+=*\n){0,100}", rest), "bad signature lines")
    for _, name, encoded in (line.split(" ") for line in rest.split("\n")[:-1]):
        signature = base64_of(encoded)
        need(len(signature) > 4, "a signature is too short")
        for known, number, public in keys:
            if (known, number) == (name, signature[:4]):
                check_signature(public, body.encode(), signature[4:])
                by = name
    return match[1], int(match[2]), base64_of(match[3]), by

def scan(folder, prefix=""):
    """(name, path, offset, size) of each file of a folder."""
    for entry in os.scandir(folder):
        info, name = entry.stat(follow_symlinks=False), prefix + entry.name
        if stat.S_ISDIR(info.st_mode):
            yield from scan(entry.path, name + "/")
        else:
            need(stat.S_ISREG(info.st_mode), f"{name!r} is no regular file")
            yield name, entry.path, 0, info.st_size

def scan_tar(path):
    """(name, path, offset, size) of each file of a .tar (ustar), of which there is only one form."""
    with open(path, "rb") as file:
        last = ""
        while (block := file.read(512)) != bytes(512):
            name, size = block[:100].rstrip(b"\0").decode("ascii"), int(block[124:135], 8)
            header = struct.pack("100s8s8s8s12s12s8sc100x8s247x", name.encode(), b"0000644", b"0000000",
                                 b"0000000", b"%011o" % size, b"%011o" % 0, b" " * 8, b"0", b"ustar\x0000")
            header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
            need(block == header and name > last and size >= 0, f"{name!r} is out of order in the .tar")
            yield name, path, file.tell(), size
            file.seek(size, 1)
            need(file.read(-size % 512) == bytes(-size % 512), f"{name!r} has another end in the .tar")
            last = name
        need(file.read(513) == bytes(512), "the .tar has another end")

def root_of(hashes):
    """The RFC 6962 root over hashes of trees of one size, of which the last may be smaller."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256()
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\1", root_of(hashes[:half]), root_of(hashes[half:]))

class Check:
    """One check of one bundle: `told` is what it found out, `findings` what is wrong."""

    def __init__(self, path, keys, older):
        self.parts, self.used, self.chains, self.erasing, self.blobs = {}, set(), {}, [], set()
        self.kept, self.findings = (None, []), []
        self.events = {"erased": [], "withheld": [], "shown": []}
        self.told = {"origin": None, "size": None, "root": None, "signed_by": None, "compared": []}
        try:
            self.run(path, keys, older)
        except Exception as error:  # whatever it is, the bundle is not verified
            self.fault(False, f"{error}" if type(error) is ValueError else f"unreadable: {error!r}")

    def fault(self, condition, message):
        """Note a finding unless the condition holds, and go on."""
        if not condition and len(self.findings) < FINDINGS_MAX:
            self.findings.append(message)

    def open(self, name):
        """A stream that stands at the begin of a file, and where the file ends."""
        need(name in self.parts, f"{name} is missing")
        self.used.add(name)
        path, offset, size = self.parts[name]
        file = open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")
        return file, file.seek(offset) + size

    def read(self, name):
        """All bytes of a file."""
        file, end = self.open(name)
        with file:
            need(end - file.tell() <= READ_MAX, f"{name} is too big")
            return file.read(end - file.tell())

    def tile(self, level, index):
        """The hashes of a tile."""
        if self.kept[0] != (level, index):
            name, width = self.tile_name(level, index, self.size >> 8 * level)
            data = self.read(name)
            need(len(data) == 32 * width, f"{name} has not {width} hashes")
            hashes = [data[at : at + 32] for at in range(0, len(data), 32)]
            full = level == 0 and width == 256
            self.fault(not full or root_of(hashes) == self.rows[index], f"{name} is not of the tree")
            self.kept = (level, index), hashes
        return self.kept[1]

    def tile_name(self, level, index, count):
        """The path of a tile of a level with so many hashes, and how many of them it has."""
        width, path = min(256, count - (index << 8)), f"{index % 1000:03}"
        while index := index // 1000:
            path = f"x{index % 1000:03}/{path}"
        return f"tile/{level}/{path}" + (f".p/{width}" if width < 256 else ""), width

    def run(self, path, keys, older):
        """Check everything."""
        for name, *place in scan(path) if os.path.isdir(path) else scan_tar(path):
            need(NAME.fullmatch(name), f"{name!r} is no file of a bundle")
            self.parts[name] = place
            need(len(self.parts) <= FILES_MAX, "there are too many files")
        need(sum(size for _, _, size in self.parts.values()) <= BYTES_MAX, "the bundle is too big")
        self.whole = "entries" not in self.parts
        keys = [key_of(open(key).read() if os.path.exists(key) else key) for key in keys]
        older = [(f"--older {path}", open(path, "rb").read()) for path in older]
        origin, self.size, root, by = checkpoint_of(self.read("checkpoint"), keys)
        self.told.update(origin=origin, size=self.size, root=root.hex(), signed_by=by)
        known, inner = [("checkpoint", self.size, root)], self.parts.keys() - {"checkpoint"}
        for name, data in [(n, self.read(n)) for n in self.parts if n.startswith("anchors/")] + older:
            other, size, hash_, _ = checkpoint_of(data, keys)
            need(other == origin, f"{name} is of another log, {other}")
            need(size <= self.size, f"{name}: {size} events, here {self.size}: it is old, or was cut")
            need(name not in inner or name == f"anchors/{size}", f"{name} is misnamed")
            known.append((name, size, hash_))
        self.tree(known)
        self.entries()
        self.account(origin)

    def tree(self, known):
        """Check the tiles, and the roots that are known."""
        self.rows, below = [], []
        for level in range(1, 8):
            tiles = range(0, self.size >> 8 * level, 256)
            hashes = [hash_ for start in tiles for hash_ in self.tile(level, start >> 8)]
            made = [root_of(below[at : at + 256]) for at in range(0, len(hashes) * 256, 256)]
            need(level == 1 or hashes == made, f"the tiles of level {level} are not those below")
            self.rows, below = self.rows or hashes, hashes
        for name, size, root in known:
            full, rest, edge = self.rows[: size >> 8], size & 255, self.tile_name(0, size >> 8, self.size)
            if not rest or name in self.parts or self.whole or edge[0] in self.parts:
                found = root_of(full + ([root_of(self.tile(0, size >> 8)[:rest])] if rest else []))
                self.fault(found == root, f"{name}: the tree has another root")
                self.told["compared"] += [size] if name not in self.parts and size else []

    def entries(self):
        """Read all entries, and the line of each in events.jsonl."""
        lines, lines_end = self.open("events.jsonl")
        position, longs = 0, count(1)
        for index in range(-(-self.size >> 8) if self.whole else 1):
            name = self.tile_name("entries", index, self.size)[0] if self.whole else "entries"
            stream, end = self.open(name)
            while stream.tell() < end:
                (size,) = struct.unpack(">H", stream.read(2))
                data = stream.read(size) if size else self.read(f"long/{next(longs)}")
                need(size or len(data) > 0xFFFF, "a short entry among the long ones")
                last, position = position, self.entry(data, lines.readline(READ_MAX))
                need(position == last + 1 if self.whole else position > last, f"no event after {last}")
            upto = min(self.size, index + 1 << 8) if self.whole else position
            need(stream.tell() == end and position == upto, f"{name} has other entries than it must have")
            stream.close()
        need(lines.tell() == lines_end, "events.jsonl has other lines than there are entries")
        lines.close()

    def entry(self, data, line):
        """Check one entry, and its line; its position."""
        label, at, version, time, uid, link, commitment, actor, schema, _, n = HEAD.unpack_from(data)
        kind, facts, end = data[151 : 151 + n].decode("ascii"), data[155 + n :], data[151 + n : 155 + n]
        need(label == ENTRY and end == struct.pack(">I", len(facts)) and 0 < at <= self.size
             and re.fullmatch(r"[a-z0-9._-]{1,64}", kind), "there is something that is no entry")
        leaf, moment = sha256(b"\0", data), datetime(1970, 1, 1) + timedelta(microseconds=time)
        self.fault(self.tile(0, at - 1 >> 8)[at - 1 & 255] == leaf, f"event {at}: not what the tree has")
        for first, length in json.loads(facts)["positions"] if kind in ERASING else []:
            if 0 < first < at and length > 0:
                self.erasing.append((first, min(first + length, at)))
        before = self.chains.get(uid, (0, bytes(32), "null"))
        lone = kind in ERASING and not self.whole and not before[0] and version > 1
        self.fault(lone or (version - 1, link) == before[:2], f"event {at}: its session lacks the last")
        start = (f'{{"position":{at},"stream":"{uid.hex()}","version":{version},'
                 f'"time":"{moment.isoformat(timespec="microseconds")}Z","actor":"{ACTORS[actor]}",'
                 f'"type":"{kind}","schema":{schema},"facts":').encode() + facts
        name, state, rest = before[2], b"", line[len(start) :]
        if rest.startswith(b',"content":'):
            end = rest.rindex(b',"salt":"')
            body, salt = rest[11:end], bytes.fromhex(rest[end + 9 : end + 73].decode())
            self.fault(sha256(CONTENT, salt, body) == commitment, f"event {at}: another content")
            value = json.loads(body.decode(), parse_constant=int)  # int takes no NaN
            name = json.dumps(value["session_id"]) if kind in STARTING and version == 1 else name
            self.blobs.update(BLOB.findall(body))
            self.events["shown"].append(at)
            state = b',"content":%s,"salt":"%s"' % (body, salt.hex().encode())
        elif commitment != bytes(32):
            word = "erased" if rest.startswith(b',"erased"') else "withheld"
            self.events[word].append(at)
            state = b',"%s":true' % word.encode()
        line_must_be = start + state + f',"session":{name}}}\n'.encode()
        self.fault(line == line_must_be, f"event {at}: its line says something else")
        self.chains.update({} if lone else {uid: (version, leaf, name)})
        return at

    def account(self, origin):
        """Check what is absent, the blobs, the manifest, and that nothing else is there."""
        steps = Counter(first for first, _ in self.erasing)
        steps.subtract(end for _, end in self.erasing)
        places = sorted(steps)
        depths = [0, *accumulate(steps[place] for place in places)]
        for word, found in self.events.items():
            gone = [at for at in found if depths[bisect_right(places, at)]]
            wrong = sorted(set(found) - set(gone)) if word == "erased" else gone
            self.fault(not wrong, f"wrongly {word} in view of later erasures: events {wrong[:20]}")
        for name in sorted("blobs/" + digest.decode() for digest in self.blobs):
            self.fault(sha256(self.read(name)).hex() == name[6:], f"{name} has other bytes")
        loose = [name for name in self.parts if name.startswith(("anchors", "checkpoint", "README"))]
        told = {"format": "agent-eventstore/bundle/v1", "mode": "log" if self.whole else "sessions",
                "origin": origin, "size": self.size, "sessions": len(self.chains)}
        told.update({word: len(found) for word, found in self.events.items()})
        files = {name: sha256(self.read(name)).hex() for name in loose}
        text = json.dumps({**told, "files": files}, indent=1, sort_keys=True) + "\n"
        self.fault(self.read("manifest.json") == text.encode(), "manifest.json says something else")
        others = sorted(set(self.parts) - self.used)
        self.fault(not others, f"no part of the bundle: {others[:20]}")
        self.told.update(told)

def main():
    """Check what the command line names, and tell."""
    parser = argparse.ArgumentParser(description="Check a bundle of agent-eventstore.")
    parser.add_argument("bundle", help="a folder or a .tar")
    parser.add_argument("--key", action="append", default=[], help="its vkey, or a file with it")
    parser.add_argument("--older", action="append", default=[], help="a checkpoint kept elsewhere")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    check = Check(options.bundle, options.key, options.older)
    told, found = check.told, check.findings
    code = 3 if found else 4 if told["signed_by"] is None else 0 if told["compared"] else 5
    verdict = {0: "VERIFIED", 3: "NOT VERIFIED", 4: "UNSIGNED", 5: "UNANCHORED"}[code]
    if code != 3 and (told["erased"] or told["withheld"]):
        verdict += f" with {told['erased']} erased and {told['withheld']} withheld"
    told = {"verdict": verdict, "exit": code, **told, "findings": found}
    print(json.dumps(told) if options.json else "\n".join(f"{n}: {told[n]}" for n in told))
    return code

if __name__ == "__main__":
    sys.exit(main())
