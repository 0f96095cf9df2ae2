"""A client of login and resume by Python's standard library alone, written from the documentation
of `skyring::login`: two implementations that agree speak what is written there.

    python3 client.py LOGIN_PORT GAMES_PORT IDENTITY_HEX

For tests. Its arithmetic takes a time that depends on its secrets: do not use it elsewhere, and take
a library of cryptography instead. The identity is compared, its signature is not verified.
"""

import hashlib
import hmac
import os
import socket
import struct
import sys

P = 2**255 - 19


def x25519(scalar, point):
    """RFC 7748 section 5."""
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def chacha_block(key, counter, nonce):
    """RFC 8439 section 2.3."""
    start = list(struct.unpack("<16L", b"expand 32-byte k" + key + struct.pack("<L", counter) + nonce))
    s = start[:]

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = s[x] + s[y] & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = (s[z] << turn | s[z] >> 32 - turn) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, i + 4, i + 8, i + 12)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16L", *(x + y & 0xFFFFFFFF for x, y in zip(s, start)))


NONCE = bytes(12)


def crypt(key, data):
    blocks = (chacha_block(key, 1 + at // 64, NONCE) for at in range(0, len(data), 64))
    return bytes(x ^ y for x, y in zip(data, b"".join(blocks)))


def tag(key, context, sealed):
    """RFC 8439 sections 2.5 and 2.8."""
    one_time = chacha_block(key, 0, NONCE)
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(one_time[16:32], "little")
    pad = lambda data: data + bytes(-len(data) % 16)
    data = pad(context) + pad(sealed) + struct.pack("<QQ", len(context), len(sealed))
    sum = 0
    for at in range(0, len(data), 16):
        sum = (sum + int.from_bytes(data[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (sum + s & 2**128 - 1).to_bytes(16, "little")


def seal(key, context, plain):
    sealed = crypt(key, plain)
    return sealed + tag(key, context, sealed)


def unseal(key, context, sealed):
    sealed, got = sealed[:-16], sealed[-16:]
    assert hmac.compare_digest(got, tag(key, context, sealed)), "sealed with another key"
    return crypt(key, sealed)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def derive(key, label):
    """HKDF-Expand of RFC 5869 to 32 bytes, which is its first block."""
    return mac(key, label + b"\1")


def write(stream, frame):
    stream.sendall(struct.pack(">H", len(frame)) + frame)


def read(stream):
    def exactly(count):
        data = b""
        while len(data) < count:
            part = stream.recv(count - len(data))
            assert part, "the server ended"
            data += part
        return data

    return exactly(*struct.unpack(">H", exactly(2)))


def text(value):
    return bytes([len(value)]) + value


def login(port, identity, token):
    stream = socket.create_connection(("127.0.0.1", port), 10)
    private = os.urandom(32)
    hello = b"skyring login 1\0" + x25519(private, (9).to_bytes(32, "little"))
    write(stream, hello)
    offer = read(stream)
    offer, server_proof = offer[:-32], offer[-32:]
    assert offer[0] == 2 and offer[65:97] == identity, "another server"
    transcript = hashlib.sha256(hello + offer).digest()
    shared = x25519(private, offer[33:65])
    assert any(shared)
    root = mac(transcript, shared)
    assert hmac.compare_digest(server_proof, mac(derive(root, b"server proves"), transcript))
    padded = struct.pack(">H", len(token)) + token
    padded += bytes(-len(padded) % 64)
    proof = mac(derive(root, b"client proves"), transcript)
    proof += seal(derive(root, b"credentials"), transcript, padded)
    write(stream, proof)
    result = read(stream)
    assert result[0] == 3, result
    last = hashlib.sha256(transcript + server_proof + proof).digest()
    plain = unseal(derive(root, b"result"), last, result[1:])
    assert plain[:2] == struct.pack(">H", 200), plain
    return plain[2:], derive(root, b"session secret" + last)  # name: subid, user, server


def resume(port, name, secret, index):
    stream = socket.create_connection(("127.0.0.1", port), 10)
    frame = b"skyring resume 1" + struct.pack(">L", index) + name
    frame += mac(derive(secret, b"client resumes"), frame)
    write(stream, frame)
    answer = read(stream)
    if len(answer) == 2:
        return struct.unpack(">H", answer)[0], stream
    assert hmac.compare_digest(answer[2:], mac(derive(secret, b"server resumes"), frame))
    return struct.unpack(">H", answer[:2])[0], stream


def main(login_port, games_port, identity):
    games_port = int(games_port)
    name, secret = login(int(login_port), bytes.fromhex(identity), b"ann:secret")
    assert name[8:] == text(b"ann") + text(b"games"), name
    code, stream = resume(games_port, name, secret, 1)
    assert code == 200
    for number in (1, 2, 3):
        write(stream, struct.pack(">L", number) + b"python %d" % number)
    first = read(stream)
    stream.close()  # and with it two replies
    assert resume(games_port, name, secret, 1)[0] == 403
    assert resume(games_port, name, bytes(32), 2)[0] == 401
    assert resume(games_port, bytes(8) + name[8:], secret, 2)[0] == 404
    code, stream = resume(games_port, name, secret, 2)
    assert code == 200
    for number in (1, 2, 3):
        write(stream, struct.pack(">L", number) + b"python %d" % number)
    replies = [read(stream) for _ in range(3)]
    assert replies[0] == first
    for number, reply in zip((1, 2, 3), replies):
        assert reply == b"\1" + struct.pack(">LH", number, 200) + b"python %d" % number, reply


main(*sys.argv[1:])
