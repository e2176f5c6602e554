#!/usr/bin/env python3
"""Check a bundle of agent-eventstore with nothing but Python's standard library (3.11 or newer).

    python verify_bundle.py BUNDLE --key VKEY [--older NOTE]... [--json]

BUNDLE is a folder or a .tar. VKEY, the log's key or a file with it, and NOTE, a file with an older
checkpoint, come from elsewhere. Exit codes: 0 VERIFIED, also with n erased and m withheld; 3 NOT
VERIFIED; 4 UNSIGNED by such a key; 5 UNANCHORED by a NOTE. docs/bundle-format.md has the details.
"""

import argparse, base64, bisect, datetime, functools, hashlib, itertools, json, os, re, stat, struct
import sys, tarfile
TILE = r"(\d|entries)/(x\d{3}/){0,6}\d{3}(\.p/[1-9]\d{0,2})?"
NAME = re.compile(rf"checkpoint|README\.txt|manifest\.json|events\.jsonl|entries|tile/{TILE}|"
                  r"anchors/[1-9]\d{0,17}|long/[1-9]\d{0,17}|blobs/[0-9a-f]{64}", re.A)
BLOB = re.compile(rb'(?<!"\$literal":)\{"\$blob":"([0-9a-f]{64})"\}')
SIGNATURES = re.compile(r"(\u2014 [^\s\0-\x1f+]+ [A-Za-z0-9+/]{7,}=*\n){0,100}")
CHECKPOINT = re.compile(r"([^\0-\x1f]+)\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n")
FILES_MAX, READ_MAX, FINDINGS_MAX, JSON = 1 << 20, 1 << 30, 20, json.JSONDecoder(parse_constant=int)
ENTRY, CONTENT = b"agent-eventstore/entry/v1\0", b"agent-eventstore/content/v1\0"
HEAD = struct.Struct(">26sQQQ16s32s32sBH16sH").unpack_from
ACTORS = ("unknown", "user", "model", "tool", "system", "operator")
P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # of Ed25519
D, ROOT, ZERO = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P), (0, 1)

def need(condition, message):
    """Raise unless the condition holds."""
    if not condition:
        raise ValueError(message)

def sha256(*parts):
    """SHA-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()

def add(a, b):
    """The sum of two points of the curve."""
    k = D * a[0] * b[0] * a[1] * b[1]
    x, y = a[0] * b[1] + a[1] * b[0], a[1] * b[1] + a[0] * b[0]
    return x * pow(1 + k, -1, P) % P, y * pow(1 - k, -1, P) % P

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
    return (x if x & 1 == sign else P - x), y

def check_signature(public, message, signature):
    """RFC 8032, 5.1.7, strictly: numbers below the modulus, no factor of eight."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    need(len(signature) == 64 and s < Q, "a trusted key's signature is out of range")
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % Q
    base = point_of((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    need(times(s, base) == add(point_of(r), times(k, point_of(public))), "a wrong signature")

def base64_of(text):
    """The bytes of a text in canonical base64."""
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 that is not canonical")
    return data

def key_of(text):
    """(name, id, public key) of a C2SP vkey: name+id+base64."""
    match = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)", text.strip())
    need(match, f"{text!r} is no vkey, nor a file")
    name, data = match[1], base64_of(match[3])
    need(len(data) == 33 and data[0] == 1 and point_of(data[1:]), "no vkey of an Ed25519 key")
    need(sha256(name.encode(), b"\n", data)[:4].hex() == match[2], "the vkey's id is not its hash")
    return name, bytes.fromhex(match[2]), data[1:]

def checkpoint_of(data, keys):
    """(origin, size, root, name of the trusted key that signed it or None) of a C2SP checkpoint."""
    body, blank, rest = data.decode().partition("\n\n")
    match, signatures, by = CHECKPOINT.fullmatch(body + blank[:1]), {}, None
    need(match and SIGNATURES.fullmatch(rest) and bool(blank) == bool(rest), "no checkpoint")
    for _, name, encoded in (line.split(" ") for line in rest.split("\n")[:-1]):
        signature = base64_of(encoded)
        signatures.setdefault((name, signature[:4]), signature[4:])
    for name, number, public in keys:
        if (name, number) in signatures:
            check_signature(public, match[0].encode(), signatures[name, number])
            by = by or name
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

def scan_tar(path, last="", end=0):
    """(name, path, offset, size) of each file of a plain .tar: names ascend, no gaps, no tricks."""
    with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for one in tar:
            plain = (one.type, one.offset, one.offset_data) == (b"0", end, end + 512)
            need(plain and one.name > last, f"{one.name!r} is no plain file, or out of order")
            yield one.name, path, end + 512, one.size
            last, end = one.name, end + 512 + (one.size + 511 & -512)
        rest = file.read(1 << 15) if file.seek(end) else b""
        need(rest and len(rest) < 1 << 15 and not any(rest), "the .tar goes on after its end")

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
        self.findings, self.told, self.by, self.compared, self.marked = [], {}, None, [], {}
        self.states = {"erased": [], "withheld": [], "shown": []}
        self.tile = functools.lru_cache(4)(self.tile)
        try:
            self.run(path, keys, older)
        except Exception as error:  # whatever it is, the bundle is not verified
            self.fault(False, str(error) if type(error) is ValueError else f"unreadable: {error!r}")

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
            return file.read(min(end - file.tell(), READ_MAX))

    def tile_name(self, level, index, count):
        """The C2SP path of a tile of a level with so many hashes, and how many of them it has."""
        width, path = min(256, count - (index << 8)), f"{index % 1000:03}"
        while index := index // 1000:
            path = f"x{index % 1000:03}/{path}"
        return f"tile/{level}/{path}" + (f".p/{width}" if width < 256 else ""), width

    def tile(self, level, index):
        """The hashes of a tile. A full one of leaves must have the hash that is above it."""
        name, width = self.tile_name(level, index, self.size >> 8 * level)
        data = self.read(name)
        need(len(data) == 32 * width, f"{name} has not {width} hashes")
        hashes = [data[at : at + 32] for at in range(0, len(data), 32)]
        if level == 0 and width == 256:
            self.fault(root_of(hashes) == self.rows[index], f"{name} is not of the tree")
        return hashes

    def run(self, path, keys, older):
        """Check everything."""
        for name, *place in scan(path) if os.path.isdir(path) else scan_tar(path):
            self.parts[name] = place
            need(NAME.fullmatch(name) and len(self.parts) <= FILES_MAX, f"{name!r} is too much")
        self.whole = "entries" not in self.parts
        keys = [key_of(open(key).read() if os.path.exists(key) else key) for key in keys]
        origin, self.size, root, self.by = checkpoint_of(self.read("checkpoint"), keys)
        self.told = {"origin": origin, "size": self.size, "root": root.hex()}
        known = [("checkpoint", self.size, root)]
        notes = [(name, self.read(name)) for name in self.parts if name.startswith("anchors/")]
        for name, data in notes + [(f"--older {path}", open(path, "rb").read()) for path in older]:
            other, size, hash_, _ = checkpoint_of(data, keys)
            named = name not in self.parts or name == f"anchors/{size}"
            need(other == origin and named, f"{name} is of another log: {other}")
            need(size <= self.size, f"{name} has {size} events, this {self.size}: old, or cut")
            known.append((name, size, hash_))
        self.tree(known)
        self.entries()
        self.account()

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
            edge, rest = self.tile_name(0, size >> 8, self.size)[0], size & 255
            if not rest or self.whole or edge in self.parts or name in self.parts:
                last = [root_of(self.tile(0, size >> 8)[:rest])] if rest else []
                found = root_of(self.rows[: size >> 8] + last)
                self.fault(found == root, f"{name}: the tree has another root")
                self.compared += [size] if size and name not in self.parts else []

    def entries(self):
        """Read all entries, and the line of each in events.jsonl."""
        lines, lines_end = self.open("events.jsonl")
        position, longs = 0, itertools.count(1)
        for index in range(-(-self.size >> 8) if self.whole else 1):
            name = self.tile_name("entries", index, self.size)[0] if self.whole else "entries"
            stream, end = self.open(name)
            while stream.tell() < end:
                (size,) = struct.unpack(">H", stream.read(2))
                data = stream.read(size) if size else self.read(f"long/{next(longs)}")
                last, position = position, self.entry(data, lines.readline(READ_MAX))
                need(last < position <= (last + 1 if self.whole else self.size), f"a gap at {last}")
            upto = min(self.size, index + 1 << 8) if self.whole else position
            need(stream.tell() == end and position == upto, f"{name} has other entries")
            stream.close()
        need(lines.tell() == lines_end, "events.jsonl has other lines than there are entries")

    def entry(self, data, line):
        """Check one entry, and its line; its position."""
        label, at, version, us, uid, link, promise, actor, schema, _, n = HEAD(data)
        kind, text = data[151 : 151 + n].decode("ascii"), data[155 + n :]
        length = int.from_bytes(data[151 + n : 155 + n], "big")
        need(label == ENTRY and length == len(text) and 0 < at <= self.size
             and re.fullmatch(r"[a-z0-9._-]{1,64}", kind), "there is something that is no entry")
        leaf, facts = sha256(b"\0", data), JSON.decode(text.decode())  # no NaN
        self.fault(self.tile(0, at - 1 >> 8)[at - 1 & 255] == leaf, f"event {at}: not in the tree")
        runs = facts["positions"] if kind == "content.erased" else []
        if kind == "content.redacted" and any(promise):  # gone, with what stood in its place
            runs = [(n, 1) for n in (facts["position"], self.marked.get(facts["position"], at))]
            self.marked[facts["position"]] = at
        runs = [(first, min(first + n, at)) for first, n in runs if 0 < first < at and n > 0]
        self.erasing += [step for first, end in runs for step in ((first, 1), (end, -1))]
        last, before, name = self.chains.get(uid, (0, bytes(32), "null"))
        lone, right = runs and not self.whole and version > 1 and not last, (last + 1, before)
        self.fault(lone or (version, link) == right, f"event {at}: a gap before it in its session")
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)
        start = (f'{{"position":{at},"stream":"{uid.hex()}","version":{version},'
                 f'"time":"{moment.isoformat(timespec="microseconds")}Z","actor":"{ACTORS[actor]}",'
                 f'"type":"{kind}","schema":{schema},"facts":').encode() + text
        rest, state = line[len(start) :], b""
        if rest.startswith(b',"content":'):
            end = rest.rindex(b',"salt":"')
            body, salt = rest[11:end], bytes.fromhex(rest[end + 9 : end + 73].decode())
            self.fault(sha256(CONTENT, salt, body) == promise, f"event {at}: its content differs")
            v = JSON.decode(body.decode())
            name = json.dumps(v["session_id"]) if (version, kind[:8]) == (1, "session.") else name
            self.blobs.update(BLOB.findall(body))
            state = b',"content":%s,"salt":"%s"' % (body, salt.hex().encode())
            self.states["shown"].append(at)
        elif any(promise):
            state = b',"%s":true' % (b"erased" if rest.startswith(b',"erased"') else b"withheld")
            self.states[state[2:-6].decode()].append(at)
        start += state + f',"session":{name}}}\n'.encode()
        self.fault(line == start, f"event {at}: its line says something else")
        self.chains.update({} if lone else {uid: (version, leaf, name)})
        return at

    def account(self):
        """Check what is absent, the blobs, the manifest, and that nothing else is there."""
        places = [at for at, _ in sorted(self.erasing)]
        depths = [0, *itertools.accumulate(step for _, step in sorted(self.erasing))]
        for word, found in self.states.items():
            gone = {at for at in found if depths[bisect.bisect_right(places, at)]}
            wrong = sorted(set(found) - gone if word == "erased" else gone)
            self.fault(not wrong, f"{word}, but not by the erasures that follow: {wrong[:20]}")
        for name in sorted("blobs/" + digest.decode() for digest in self.blobs):
            self.fault(sha256(self.read(name)).hex() == name[6:], f"{name} has other bytes")
        self.told.update({word: len(found) for word, found in self.states.items()})
        self.told.update(mode="log" if self.whole else "sessions", sessions=len(self.chains))
        files = {n: sha256(self.read(n)).hex() for n in self.parts if n[:2] in ("an", "ch", "RE")}
        manifest = {**self.told, "files": files, "format": "agent-eventstore/bundle/v1"}
        text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        self.fault(self.read("manifest.json") == text.encode(), "the manifest says something else")
        self.fault(self.used >= {*self.parts}, f"unused: {sorted({*self.parts} - self.used)[:9]}")

def main():
    """Check what the command line names, and tell."""
    parser = argparse.ArgumentParser(description="Check a bundle of agent-eventstore.")
    parser.add_argument("bundle", help="a folder or a .tar")
    parser.add_argument("--key", action="append", default=[], help="its vkey, or a file with it")
    parser.add_argument("--older", action="append", default=[], help="a checkpoint kept elsewhere")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    check = Check(args.bundle, args.key, args.older)
    told, found = {"verdict": "", **check.told}, check.findings
    code = 3 if found else 4 if check.by is None else 0 if check.compared else 5
    told["verdict"] = ("VERIFIED", "", "", "NOT VERIFIED", "UNSIGNED", "UNANCHORED")[code]
    if code != 3 and (told["erased"] or told["withheld"]):
        told["verdict"] += f" with {told['erased']} erased and {told['withheld']} withheld"
    told.update(exit=code, signed_by=check.by, compared=check.compared, findings=found)
    print(json.dumps(told) if args.json else "\n".join(f"{n}: {json.dumps(told[n])}" for n in told))
    return code

if __name__ == "__main__":
    sys.exit(main())
