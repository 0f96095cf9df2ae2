"""Sends gunicorn's raw request files to a server and compares what it has understood.

    python3 gunicorn.py TESTS/requests HOST:PORT HOST:PORT-BEHIND-A-PROXY

The server answers a request with what it has read of it: method, target and version in a line each, a
line for each header field, an empty line, the body. Each file must be answered as its name says. What is
answered otherwise on purpose stands below, with the reason. Ends with 1 when anything else differs.
"""

import glob
import os
import re
import socket
import sys
import types

# By the options that a file sets for gunicorn and this server does not have.
OPTIONS = {
    "permit_obsolete_folding": "folded fields are never taken",
    "strip_header_spaces": "spaces before a colon are never taken",
    "header_map": "names are not mapped to variables, so underscores hide nothing",
    "forwarded_allow_ips": "X-Forwarded fields are the application's to read",
    "casefold_http_method": "methods are compared as they come",
    "limit_request_field_size": "there is a limit for the head, not for a field",
    "limit_request_fields": "a limit that gunicorn is given; that of 100 is tested elsewhere",
    "proxy_protocol": "a proxy that is trusted has to say for whom it speaks",
    "limit_request_line": "a limit that gunicorn is given; that of 7 KiB is tested elsewhere",
}

# By name, where this server differs and means to.
UNKNOWN_CODING = (501, "a coding that is not known (RFC 9112, 6.1)")
ON_PURPOSE = {
    "valid/005": (400, "a fragment has no place in a target (RFC 9112, 3.2)"),
    "valid/025": UNKNOWN_CODING,
    "valid/025_line": UNKNOWN_CODING,
    "valid/029": UNKNOWN_CODING,
    "valid/030": UNKNOWN_CODING,
    "valid/040": (200, "names are not mapped to variables, so underscores hide nothing"),
    "valid/099": (400, "the body is shorter than its length says, and the connection ends"),
    "invalid/006": (200, "a target of 5 KiB: gunicorn takes 4 KiB, this server 7"),
    "valid/rfc9112_target_absolute_userinfo_01": (400, "user information is refused (RFC 9110, 4.2.4)"),
    "valid/rfc9112_smuggle_gzip_chunked_01": UNKNOWN_CODING,
    "valid/rfc9112_smuggle_te_identity_chunked_01": UNKNOWN_CODING,
}


class Options:
    def __init__(self):
        self.set_by_file = {}

    def set(self, name, value):
        self.set_by_file[name] = value


def load(path):
    """What a file's companion expects."""
    with open(path, encoding="utf-8") as file:
        source = file.read()
    # What is imported are names of errors and the options.
    lines, inside = [], False
    for line in source.splitlines():
        starts = line.startswith(("from ", "import "))
        if starts or inside:
            inside = (inside or "(" in line) and ")" not in line
            continue
        lines.append(line)

    class Names(dict):
        def __missing__(self, name):
            return name

    space = Names(uri=lambda raw: {"raw": raw}, Config=Options, cfg=Options(), __builtins__={})
    exec("\n".join(lines), space)
    return space["request"], space["cfg"].set_by_file


def wire_of(path):
    with open(path, "rb") as file:
        data = file.read()
    data = data.replace(b"\n", b"").replace(b"\\r\\n", b"\r\n").replace(b"\\0", b"\0")
    data = data.replace(b"\\n", b"\n").replace(b"\\t", b"\t")
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), data)


def with_hosts(wire):
    """The same with a Host field in each head of HTTP/1.1 that has none: gunicorn asks for none."""
    def add(found):
        head = found[0]
        return head if re.search(rb"\r\nhost:", head, re.I) else found[1] + b"Host: added\r\n" + found[2]
    return re.sub(rb"([^\r\n]* HTTP/1\.1\r\n)((?:[^\r\n]+\r\n)*\r\n)", add, wire)


def ask(address, pieces):
    """The answers: status and body of each."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = b""
        try:
            for piece in pieces:
                peer.sendall(piece)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before its end
        try:
            while piece := peer.recv(1 << 16):
                answers += piece
        except ConnectionResetError:
            pass
    found = []
    while answers:
        head, _, answers = answers.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        found.append((int(head[9:12]), answers[:size]))
        answers = answers[size:]
    return found


def understood(answers):
    read = []
    for status, body in answers:
        if status != 200:
            return None
        head, _, body = body.partition(b"\n\n")
        method, target, version, *fields = head.decode("latin-1").split("\n")
        fields = [tuple(field.split(": ", 1)) for field in fields]
        read.append((method, target, version, fields, body))
    return read


def expected_of(requests):
    found = []
    for request in requests if isinstance(requests, list) else [requests]:
        version = "HTTP/%d.%d" % request["version"]
        body = request["body"]
        body = body.encode("latin-1") if isinstance(body, str) else body
        fields = [(name.lower(), value) for name, value in request["headers"]]
        found.append((request["method"], request["uri"]["raw"], version, fields, body))
    return found


def is_same(read, expected):
    if read is None or len(read) != len(expected):
        return False
    for ours, theirs in zip(read, expected):
        fields = [field for field in ours[3] if field != ("host", "added")]
        if (ours[0], ours[1], ours[2], ours[4]) != (theirs[0], theirs[1], theirs[2], theirs[4]):
            return False
        # gunicorn decodes as latin-1, joins nothing, keeps the order.
        if sorted(fields) != sorted(theirs[3]):
            return False
    return True


def try_it(folder, wire, expected, address):
    """Whether all is answered as it should be, whole and in pieces; and the statuses."""
    seen = []
    for pieces in ([wire], [wire[at : at + 7] for at in range(0, len(wire), 7)]):
        answers = ask(address, pieces)
        if folder == "valid":
            good = is_same(understood(answers), expected_of(expected))
        else:
            # Whatever comes before it, the last is refused, or there is none to what was cut.
            good = not answers or answers[-1][0] >= 400
        seen.append((good, [status for status, _ in answers]))
    return all(good for good, _ in seen), seen[0][1]


def check(folder, path, addresses):
    name = folder + "/" + os.path.basename(path)[:-5]
    expected, options = load(path[:-5] + ".py")
    wire = wire_of(path)
    address = addresses["proxy_protocol" in options]
    good, statuses = try_it(folder, wire, expected, address)
    if not good and folder == "valid" and with_hosts(wire) != wire:
        good, statuses = try_it(folder, with_hosts(wire), expected, address)
    if good:
        return name, "right", ""
    for option in options:
        if option in OPTIONS:
            return name, "option", OPTIONS[option]
    if name in ON_PURPOSE and statuses[-1:] == [ON_PURPOSE[name][0]]:
        return name, "purpose", ON_PURPOSE[name][1]
    return name, "WRONG", f"{statuses} instead of {expected!r}"[:600]


def main(root, plain, proxied):
    counts = {}
    for folder in ("valid", "invalid"):
        for path in sorted(glob.glob(os.path.join(root, folder, "*.http"))):
            name, verdict, why = check(folder, path, (plain, proxied))
            kind = "rfc911x" if os.path.basename(name).startswith("rfc911") else "other"
            counts.setdefault((folder, kind), []).append(verdict)
            if verdict != "right":
                print(f"{verdict:8} {name}: {why}")
    wrong = 0
    for (folder, kind), verdicts in sorted(counts.items()):
        parts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("right", "option", "purpose", "WRONG"))
        print(f"{folder} {kind}: {len(verdicts)} files: {parts}")
        wrong += verdicts.count("WRONG")
    return 1 if wrong or not counts else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
