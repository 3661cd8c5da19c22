"""Opens the sealed objects of a vector file without Tidemark: docs/formats/sealed-container.md.

Standard library only; AES comes from the openssl command, GHASH is spelt out. Slow by design.
Usage: open-sealed.py VECTORS.json   (prints one JSON line per vector that should open)
"""
import hashlib, hmac, json, subprocess, sys


def aes(mode, key, data, iv=None):
    command = ["openssl", "enc", f"-aes-256-{mode}", "-nopad", "-K", key.hex()]
    if iv is not None:
        command += ["-iv", iv.hex()]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def ghash(h, text):
    text = text + bytes(-len(text) % 16) + (len(text) * 8).to_bytes(16, "big")
    h, y = int.from_bytes(h, "big"), 0
    for at in range(0, len(text), 16):
        x, z, v = y ^ int.from_bytes(text[at:at + 16], "big"), 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y.to_bytes(16, "big")


def open_chunk(key, nonce, sealed):
    text, tag = sealed[:-16], sealed[-16:]
    stream = aes("ctr", key, bytes(16) + text, nonce + (1).to_bytes(4, "big"))
    auth = ghash(aes("ecb", key, bytes(16)), text)
    assert bytes(a ^ b for a, b in zip(stream[:16], auth)) == tag, "tag"
    return stream[16:]


def hkdf(key, salt, info, count):
    prk, block, out = hmac.digest(salt, key, "sha512"), b"", b""
    for counter in range(1, 3):
        block = hmac.digest(prk, block + info + bytes([counter]), "sha512")
        out += block
    return out[:count]


def open_object(sealed, keys):
    length = int.from_bytes(sealed[96:100], "big")
    head = sealed[:64] + sealed[96:100 + length]
    info = b"tidemark/seal/v1\0" + hashlib.sha512(head).digest()
    okm = hkdf(keys[sealed[16:32].hex()], sealed[32:64], info, 76)
    assert okm[44:] == sealed[64:96], "commitment"
    size, at, plain, tags = 2 ** sealed[12], 100 + length, b"", b""
    for number in range(2 ** 48):
        chunk = sealed[at:at + size + 16]
        assert len(chunk) >= 16, "truncated"
        nonce = int.from_bytes(okm[32:44], "big") ^ number
        plain += open_chunk(okm[:32], nonce.to_bytes(12, "big"), chunk)
        tags += chunk[-16:]
        at += len(chunk)
        if len(chunk) < size + 16:
            break
    total = len(sealed).to_bytes(8, "big")
    return plain, hashlib.sha256(sealed[:100 + length] + tags + total).hexdigest()


file = json.load(open(sys.argv[1]))
known = {entry["id"]: bytes.fromhex(entry["key"]) for entry in file["keys"]}
for vector in file["vectors"]:
    if "plain" in vector:
        content, digest = open_object(bytes.fromhex(vector["sealed"]), known)
        sha256 = hashlib.sha256(content).hexdigest()
        print(json.dumps({"name": vector["name"], "sha256": sha256, "digest": digest}))
